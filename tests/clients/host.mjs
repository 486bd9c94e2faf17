// What Node is to the programs; page/host.mjs is the same for a browser.
export { default as WebSocket } from "ws" // Node before 22 has none of its own
export const isBrowser = false
export const args = process.argv.slice(2)
export const run = String(process.pid)
export const exit = (status) => process.exit(status)

/** Follow redirects by hand until an address that begins with `end`; that address. */
export async function visit(address, end) {
  for (let hops = 0; hops < 6; hops += 1) {
    if (String(address).startsWith(end)) return new URL(address)
    const answer = await fetch(address, { redirect: "manual" })
    if (answer.status < 300 || answer.status > 399) throw new Error(`${address}: ${await answer.text()}`)
    address = answer.headers.get("location")
  }
  throw new Error("too many redirects")
}
