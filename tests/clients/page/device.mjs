// The browser's own passkeys, with the authenticator that the test has plugged in; ../device.mjs is the same for Node.
const device = {
  async create(options) {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options)
    return (await navigator.credentials.create({ publicKey })).toJSON()
  },
  async get(options) {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options)
    return (await navigator.credentials.get({ publicKey })).toJSON()
  },
  held: (run) => run(),
}
/** The device, without the passkeys of checks before. */
export async function newDevice() {
  await globalThis.programForgets()
  return device
}
