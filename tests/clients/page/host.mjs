// What a browser is to the programs; ../host.mjs is the same for Node. The test gives `programArguments`, `programEnds`
// and `programVisits`.
export const WebSocket = globalThis.WebSocket
export const isBrowser = true
export const args = globalThis.programArguments
export const run = crypto.randomUUID().slice(0, 8)
export const exit = (status) => globalThis.programEnds(status)

/** Open an address in a tab of its own until it is at one that begins with `end`; that address. */
export async function visit(address, end) {
  return new URL(await globalThis.programVisits(String(address), end))
}
