// A passkey authenticator for Node, which has none; page/device.mjs is the same for a browser.
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto"

/** A passkey authenticator: ES256, attestation none. */
class Authenticator {
  constructor(page) {
    this.page = page
    this.id = randomBytes(32)
    this.keys = generateKeyPairSync("ec", { namedCurve: "P-256" })
    this.count = 0
  }
  told(type, challenge) {
    return Buffer.from(JSON.stringify({ type, challenge, origin: this.page, crossOrigin: false }))
  }
  state(rpId, flags) {
    const count = Buffer.alloc(4)
    count.writeUInt32BE(this.count)
    return Buffer.concat([createHash("sha256").update(rpId).digest(), Buffer.from([flags]), count])
  }
  shown(response) {
    const id = this.id.toString("base64url")
    return { id, rawId: id, type: "public-key", clientExtensionResults: {}, response }
  }
  create(options) {
    this.user = options.user.id
    const { x, y } = this.keys.publicKey.export({ format: "jwk" })
    const cose = Buffer.concat([
      Buffer.from("a5010203262001215820", "hex"), Buffer.from(x, "base64url"),
      Buffer.from("225820", "hex"), Buffer.from(y, "base64url"),
    ]) // prettier-ignore
    const size = Buffer.from([0, this.id.length])
    const authData = Buffer.concat([this.state(options.rp.id, 0x5d), Buffer.alloc(16), size, this.id, cose])
    const length = Buffer.from([0x58, authData.length])
    const head = Buffer.from("a363666d74646e6f6e656761747453746d74a0686175746844617461", "hex")
    return this.shown({
      clientDataJSON: this.told("webauthn.create", options.challenge).toString("base64url"),
      attestationObject: Buffer.concat([head, length, authData]).toString("base64url"),
      transports: ["internal"],
    })
  }
  get(options) {
    this.count += 1
    const client = this.told("webauthn.get", options.challenge)
    const authData = this.state(options.rpId, 0x1d)
    const signed = Buffer.concat([authData, createHash("sha256").update(client).digest()])
    return this.shown({
      clientDataJSON: client.toString("base64url"), authenticatorData: authData.toString("base64url"),
      signature: sign("sha256", signed, this.keys.privateKey).toString("base64url"), userHandle: this.user,
    }) // prettier-ignore
  }
  /** Run with what a browser that has this device offers. */
  async held(run) {
    const device = this
    class PublicKeyCredential {
      constructor(json) {
        this.json = json
      }
      toJSON() {
        return this.json
      }
      static parseCreationOptionsFromJSON(options) {
        return options
      }
      static parseRequestOptionsFromJSON(options) {
        return options
      }
    }
    const credentials = {
      create: async ({ publicKey }) => new PublicKeyCredential(device.create(publicKey)),
      get: async ({ publicKey }) => new PublicKeyCredential(device.get(publicKey)),
    }
    const before = Object.getOwnPropertyDescriptor(globalThis, "navigator")
    Object.defineProperty(globalThis, "navigator", { value: { credentials }, configurable: true })
    Object.assign(globalThis, { PublicKeyCredential, window: { PublicKeyCredential }, document: {} })
    try {
      return await run()
    } finally {
      delete globalThis.window
      delete globalThis.document
      delete globalThis.PublicKeyCredential
      if (before) Object.defineProperty(globalThis, "navigator", before)
      else delete globalThis.navigator
    }
  }
}

/** A device without passkeys, for pages of `site`. */
export const newDevice = async (site) => new Authenticator(site)
