// What supabase-js does by itself when its server is killed and started again: the channels are joined again and tell
// what happens from then on. The program says when it is time; it does nothing for its channels meanwhile.
import assert from "node:assert/strict"
import { createClient } from "@supabase/supabase-js"
import { args, WebSocket, run } from "./host.mjs"
import { check, data, report, watched } from "./watch.mjs"

const [url, anonKey, serviceKey] = args
const options = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: WebSocket } }
const client = createClient(url, anonKey, options)
const admin = createClient(url, serviceKey, options)
const sample = client.channel("sample")
for (const name of ["on", "subscribe"]) watched(Object.getPrototypeOf(sample), name, `channel.${name}`)
watched(Object.getPrototypeOf(client), "channel", "supabase.channel")

async function until(holds, what, ms = 60000) {
  const end = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((go) => setTimeout(go, 50))
  }
}
const answers = () => fetch(`${url}/health`).then((reply) => reply.ok, () => false)
/** A subscribed channel: the statuses that it was told, and what it heard. */
async function join(name, config, bind) {
  const told = []
  const heard = []
  bind(client.channel(name, { config }), (message) => heard.push(message)).subscribe((status) => told.push(status))
  await until(() => told.includes("SUBSCRIBED"), `${name} ${told}`)
  return { told, heard, times: () => told.filter((status) => status === "SUBSCRIBED").length }
}
const id = Number(run.replace(/\D/g, "").slice(-6)) * 10 + 1

await check("channels come back after the server was killed, and tell what happens then", async () => {
  const rows = await join(`rows-${run}`, {}, (channel, hear) =>
    channel.on("postgres_changes", { event: "*", schema: "public", table: "rooms", filter: `id=in.(${id},${id + 1})` }, hear))
  const secret = await join(`private-${run}`, { private: true }, (channel, hear) => channel.on("broadcast", { event: "told" }, hear))
  const open = await join(`open-${run}`, {}, (channel, hear) => channel.on("broadcast", { event: "*" }, hear))
  await data(admin.from("rooms").insert({ id, name: "before" }))
  await until(() => rows.heard.length === 1, "the change before")
  console.log("kill the server")
  await until(async () => !(await answers()), "the server's end")
  await until(answers, "the server's start")
  await until(() => [rows, secret, open].every((one) => one.times() >= 2), "the second join")
  await data(admin.from("rooms").insert({ id: id + 1, name: "after" }))
  await data(admin.rpc("tell_room", { topic: `private-${run}`, body: { said: "after" } }))
  await data(admin.channel(`open-${run}`).httpSend("shout", { said: "after" }).then((reply) => ({ data: reply, error: null })))
  await until(() => rows.heard.length >= 2, "the change after")
  await until(() => secret.heard.length >= 1, "the private broadcast after")
  await until(() => open.heard.length >= 1, "the broadcast after")
  assert.deepEqual(rows.heard.map((change) => change.new.name), ["before", "after"])
  assert.deepEqual(secret.heard.map((message) => message.payload.said), ["after"])
  assert.deepEqual(open.heard.map((message) => message.payload.said), ["after"])
})
report()
