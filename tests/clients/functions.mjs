// Every method of supabase-js's functions client against a running server. Exits with 1 if a check failed.
import assert from "node:assert/strict"
import { createClient, FunctionsHttpError, FunctionsRelayError } from "@supabase/supabase-js"
import { args, WebSocket } from "./host.mjs"
import { check, report, watched } from "./watch.mjs"

const [url, anonKey, userToken] = args
const transport = { realtime: { transport: WebSocket } } // Node before 22 has no WebSocket of its own
const auth = { persistSession: false, autoRefreshToken: false }
const client = createClient(url, anonKey, { auth, ...transport })
for (const name of ["invoke", "setAuth"]) watched(Object.getPrototypeOf(client.functions), name, `functions.${name}`)

await check("functions.invoke with JSON", async () => {
  const { data, error } = await client.functions.invoke("echo", { body: { a: [1, "é"] } })
  assert.equal(error, null)
  assert.deepEqual(data.body, { a: [1, "é"] })
  assert.equal(data.role, "anon")
  assert.equal(data.method, "POST")
})
await check("functions.invoke by GET with a path and a query", async () => {
  const { data } = await client.functions.invoke("echo/deep/er?x=1", { method: "GET", headers: { "x-mine": "yes" } })
  assert.equal(data.path, "/deep/er")
  assert.deepEqual(data.query, { x: "1" })
  assert.equal(data.mine, "yes")
})
await check("functions.invoke with text, bytes and a form", async () => {
  for (const [body, size] of [["héllo", 6], [new Uint8Array([0, 255, 1]).buffer, 3], [new Blob(["abcd"]), 4]]) {
    const { data } = await client.functions.invoke("size", { body })
    assert.equal(data, size)
  }
  const form = new FormData()
  form.append("file", new Blob(["abc"]), "a.txt")
  const { data } = await client.functions.invoke("echo", { body: form })
  assert.match(data.type, /^multipart\/form-data; boundary=/)
})
await check("functions.invoke reads text and bytes", async () => {
  assert.equal((await client.functions.invoke("text")).data, "plain words")
  const { data } = await client.functions.invoke("bytes")
  assert.deepEqual([...new Uint8Array(await data.arrayBuffer())], [0, 1, 255])
})
await check("functions.setAuth", async () => {
  const other = createClient(url, anonKey, { auth, ...transport })
  other.functions.setAuth(userToken)
  const { data } = await other.functions.invoke("echo", { body: {}, headers: { Authorization: `Bearer ${userToken}` } })
  assert.equal(data.role, "authenticated")
  assert.equal(data.uid, data.sub)
})
await check("an error of the function is an HTTP error with its body", async () => {
  const { data, error } = await client.functions.invoke("teapot")
  assert.equal(data, null)
  assert.ok(error instanceof FunctionsHttpError)
  assert.equal(error.context.status, 418)
  assert.deepEqual(await error.context.json(), { short: true })
})
await check("a failing function tells nothing of why", async () => {
  const { error } = await client.functions.invoke("broken")
  assert.ok(error instanceof FunctionsHttpError)
  assert.equal(error.context.status, 500)
  assert.doesNotMatch(await error.context.text(), /secret detail/)
})
await check("a function that is not there is a relay error", async () => {
  const { error } = await client.functions.invoke("nothing")
  assert.ok(error instanceof FunctionsRelayError)
  assert.equal(error.context.status, 404)
})
await check("a forged token is refused", async () => {
  const headers = { Authorization: `Bearer ${userToken.slice(0, -3)}abc` }
  const { error } = await client.functions.invoke("echo", { headers })
  assert.equal(error.context.status, 401)
})

report()
