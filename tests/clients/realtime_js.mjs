// Every public method of supabase-js's realtime against a running server: both versions of the protocol. Prints a
// table of methods at the end and exits with 1 if a check failed or a method was never called.
import assert from "node:assert/strict"
import { createClient } from "@supabase/supabase-js"
import { RealtimePostgresFilterBuilder, postgresChangesFilter } from "@supabase/realtime-js"
import { args, WebSocket, run } from "./host.mjs"
import { check, report, watched } from "./watch.mjs"

const [url, anonKey, serviceKey] = args
// Inner ones: `push`, `log`, `copyBindings`, `teardown` and `updateJoinPayload` are marked as such in the source.
const UNUSED = new Set(["constructor", "log", "hasLogger", "copyBindings", "teardown", "updateJoinPayload", "push"])
function watch(sample, kind) {
  const p = Object.getPrototypeOf(sample)
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(p))) {
    if (UNUSED.has(name) || name.startsWith("_") || typeof value !== "function") continue
    const label = `${kind}.${name}`
    watched(p, name, label)
  }
}
const options = (vsn) => ({
  auth: { persistSession: false, autoRefreshToken: false },
  realtime: { transport: WebSocket, vsn, timeout: 10000, heartbeatIntervalMs: 500 },
})
const admin = createClient(url, serviceKey, options("2.0.0"))
const sample = createClient(url, anonKey, options("2.0.0"))
watch(sample.realtime, "client")
watch(sample.channel("sample"), "channel")
watch(new RealtimePostgresFilterBuilder(), "filter")
for (const name of ["channel", "getChannels", "removeChannel", "removeAllChannels"]) {
  watched(Object.getPrototypeOf(sample), name, `supabase.${name}`)
}

async function until(holds, what) {
  const end = Date.now() + 15000
  while (!holds()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((go) => setTimeout(go, 10))
  }
}
async function subscribed(channel) {
  const told = []
  await new Promise((go, no) =>
    channel.subscribe((status, error) => {
      told.push(status)
      if (status === "SUBSCRIBED") go()
      else if (status !== "CLOSED") no(error ?? new Error(status))
    }),
  )
  return told
}
async function write(query) {
  const { error } = await query
  assert.equal(error, null, JSON.stringify(error))
}

for (const vsn of ["1.0.0", "2.0.0"]) {
  const client = createClient(url, anonKey, options(vsn))
  const other = createClient(url, anonKey, options(vsn))
  const name = (text) => `${text}-${vsn}-${run}`

  await check(`${vsn}: connect, states, heartbeat, disconnect`, async () => {
    const beats = []
    client.realtime.onHeartbeat((status) => beats.push(status))
    client.realtime.connect()
    assert.ok(client.realtime.isConnecting())
    assert.ok(client.realtime.endpointURL().includes(`vsn=${vsn}`))
    await until(() => client.realtime.isConnected(), "the connection")
    assert.equal(client.realtime.connectionState(), "open")
    await client.realtime.sendHeartbeat()
    await until(() => beats.includes("ok"), "a heartbeat's answer")
    const ended = client.realtime.disconnect()
    assert.equal(client.realtime.isDisconnecting(), true)
    await ended // a connection begun before would take the close of this one as its own
    assert.equal(client.realtime.isConnected(), false)
  })

  await check(`${vsn}: postgres_changes with every event, values by type, select`, async () => {
    await write(admin.from("rooms").delete().gte("id", 0))
    const got = []
    const system = []
    const channel = client
      .channel(name("rooms"))
      .on("postgres_changes", { event: "*", schema: "public", table: "rooms" }, (p) => got.push(p))
      .on("system", {}, (p) => system.push(p))
    await subscribed(channel)
    await until(() => system.some((p) => p.message === "Subscribed to PostgreSQL"), "the system message")
    const row = { id: 1, name: "a", seats: 5, tags: ["x", "y z"], about: { k: [1] }, opened_at: "2026-01-01T00:00:00+00:00" }
    await write(admin.from("rooms").insert(row))
    await write(admin.from("rooms").update({ seats: 6 }).eq("id", 1))
    await write(admin.from("rooms").delete().eq("id", 1))
    await until(() => got.length === 3, "three events")
    assert.deepEqual(got.map((p) => p.eventType), ["INSERT", "UPDATE", "DELETE"])
    assert.deepEqual(got[0].new, row)
    assert.equal(got[1].new.seats, 6)
    assert.deepEqual(got[2].old, { id: 1 })
    assert.equal(await client.removeChannel(channel), "ok")
  })

  await check(`${vsn}: filters of every operator`, async () => {
    await write(admin.from("rooms").delete().gte("id", 0))
    const f = postgresChangesFilter
    const filters = {
      eq: f().eq("name", "b, c"), neq: f().neq("seats", 2), gt: f().gt("seats", 1), gte: f().gte("seats", 2),
      lt: f().lt("seats", 2), lte: f().lte("seats", 1), in: f().in("name", ["a", "b, c"]), like: f().like("name", "b%"),
      ilike: f().ilike("name", "B%"), match: f().match("name", "^a$"), imatch: f().imatch("name", "^A$"),
      is: f().is("name", null), isdistinct: f().isDistinct("name", "a"), not: f().not("name", "in", ["a"]),
      both: f().eq("seats", 1).like("name", "a"),
    }
    const want = {
      eq: [2], neq: [1, 3], gt: [2, 3], gte: [2, 3], lt: [1], lte: [1], in: [1, 2], like: [2], ilike: [2], match: [1],
      imatch: [1], is: [3], isdistinct: [2, 3], not: [2], both: [1],
    }
    assert.equal(filters.both.build(), filters.both.toString())
    const got = Object.fromEntries(Object.keys(filters).map((key) => [key, []]))
    let channel = client.channel(name("filters"))
    for (const [key, filter] of Object.entries(filters))
      channel = channel.on("postgres_changes", { event: "INSERT", schema: "public", table: "rooms", filter },
        (p) => got[key].push(p.new.id))
    const done = []
    channel.on("postgres_changes", { event: "INSERT", schema: "public", table: "rooms", select: ["id"] }, (p) => done.push(p.new))
    await subscribed(channel)
    await write(admin.from("rooms").insert([{ id: 1, name: "a", seats: 1 }, { id: 2, name: "b, c", seats: 2 }, { id: 3, seats: 3 }]))
    await until(() => done.length === 3, "three rows")
    assert.deepEqual(done, [{ id: 1 }, { id: 2 }, { id: 3 }])
    await new Promise((go) => setTimeout(go, 100))
    assert.deepEqual(got, want)
    await channel.unsubscribe()
  })

  await check(`${vsn}: a refused subscription says why`, async () => {
    const channel = client.channel(name("bad")).on("postgres_changes", { event: "*", schema: "public", table: "nothing" }, () => {})
    await assert.rejects(subscribed(channel), /nothing/)
    await client.removeChannel(channel)
  })

  await check(`${vsn}: since brings back what was missed, once`, async () => {
    const filter = { event: "INSERT", schema: "public", table: "rooms", cursors: true }
    const first = []
    let place
    let channel = client
      .channel(name("since"))
      .on("postgres_changes", filter, (p) => first.push(p.new.id))
      .on("system", {}, (p) => (place = p.cursor ?? place))
    await subscribed(channel)
    await write(admin.from("rooms").insert({ id: 101 }))
    await until(() => first.length === 1, "the first row")
    await client.removeChannel(channel)
    await write(admin.from("rooms").insert([{ id: 102 }, { id: 103 }]))
    channel = client.channel(name("since-again")).on("postgres_changes", { ...filter, since: place }, (p) => first.push(p.new.id))
    await subscribed(channel)
    await write(admin.from("rooms").insert({ id: 104 }))
    await until(() => first.length === 4, "all rows")
    assert.deepEqual(first, [101, 102, 103, 104])
    await client.removeChannel(channel)
  })

  await check(`${vsn}: broadcast by socket, with ack and self`, async () => {
    const config = { config: { broadcast: { ack: true, self: true } } }
    const got = { a: [], b: [] }
    const a = client.channel(name("talk"), config).on("broadcast", { event: "*" }, (p) => got.a.push(p))
    const b = other.channel(name("talk"), config).on("broadcast", { event: "hi" }, (p) => got.b.push(p))
    await subscribed(a)
    await subscribed(b)
    assert.equal(await a.send({ type: "broadcast", event: "hi", payload: { text: "é" } }), "ok")
    await until(() => got.a.length === 1 && got.b.length === 1, "both copies")
    assert.deepEqual(got.b[0].payload, { text: "é" })
    if (vsn === "2.0.0") {
      await a.send({ type: "broadcast", event: "hi", payload: new Uint8Array([0, 255]).buffer })
      await until(() => got.b.length === 2, "the bytes")
      assert.deepEqual([...new Uint8Array(got.b[1].payload)], [0, 255])
    }
    assert.equal(client.getChannels().length, 1)
    assert.equal(client.realtime.getChannels()[0].topic, `realtime:${name("talk")}`)
    await client.removeAllChannels()
    await other.realtime.removeAllChannels()
  })

  await check(`${vsn}: broadcast over HTTP, by name and before subscribing`, async () => {
    const got = []
    const b = other.channel(name("http")).on("broadcast", { event: "*" }, (p) => got.push(p))
    await subscribed(b)
    const a = client.channel(name("http"))
    assert.deepEqual(await a.httpSend("one", { n: 1 }), { success: true })
    assert.equal(await a.send({ type: "broadcast", event: "two", payload: { n: 2 } }), "ok")
    await until(() => got.length === 2, "two messages")
    assert.deepEqual(got.map((p) => [p.event, p.payload]), [["one", { n: 1 }], ["two", { n: 2 }]])
    if (vsn === "2.0.0") {
      await a.httpSend("bytes", new Uint8Array([1, 2]))
      await until(() => got.length === 3, "the bytes")
      assert.deepEqual([...new Uint8Array(got[2].payload)], [1, 2])
    }
    await other.realtime.removeChannel(b)
    await client.removeChannel(a)
  })

  await check(`${vsn}: private channels, persist, replay, from the database`, async () => {
    const refused = client.channel(name("closed"), { config: { private: true } })
    await assert.rejects(subscribed(refused), /Unauthorized/)
    await client.removeChannel(refused)
    const since = Date.now() - 60000
    const room = name("private-room")
    const sender = client.channel(room, { config: { private: true } })
    assert.deepEqual(await sender.httpSend("kept", { n: 1 }, { persist: true }), { success: true })
    await write(admin.rpc("tell_room", { topic: room, body: { n: 2 } }))
    const got = []
    const config = { private: true, broadcast: { replay: { since, limit: 10 } } }
    const reader = other.channel(room, { config }).on("broadcast", { event: "*" }, (p) => got.push(p))
    await subscribed(reader)
    await until(() => got.length === 2, "the replay")
    assert.deepEqual(got.map((p) => [p.payload.n, p.meta.replayed]), [[1, true], [2, true]])
    await write(admin.rpc("tell_room", { topic: room, body: { n: 3 } }))
    await until(() => got.length === 3, "a live one")
    await assert.rejects(client.channel(name("closed"), { config: { private: true } }).httpSend("e", {}), /Unauthorized/)
    await client.removeAllChannels()
    await other.removeAllChannels()
  })

  await check(`${vsn}: presence`, async () => {
    const seen = { sync: 0, join: [], leave: [] }
    const room = name("people")
    const a = client
      .channel(room, { config: { presence: { key: "ann" } } })
      .on("presence", { event: "sync" }, () => (seen.sync += 1))
      .on("presence", { event: "join" }, (p) => seen.join.push(p.key))
      .on("presence", { event: "leave" }, (p) => seen.leave.push(p.key))
    const b = other.channel(room, { config: { presence: { key: "bob", enabled: true } } })
    await subscribed(a)
    await subscribed(b)
    assert.equal(await a.track({ mood: "good" }), "ok")
    assert.equal(await b.track({ mood: "fair" }), "ok")
    await until(() => seen.join.length === 2, "two joins")
    await until(() => Object.keys(a.presenceState()).length === 2, "both")
    assert.equal(a.presenceState().bob[0].mood, "fair")
    assert.equal(await b.track({ mood: "better" }), "ok")
    await until(() => a.presenceState().bob?.[0].mood === "better", "the change")
    assert.equal(await b.untrack(), "ok")
    await until(() => !("bob" in a.presenceState()), "bob's leave")
    await b.track({ mood: "back" })
    await until(() => "bob" in a.presenceState(), "bob")
    await other.removeAllChannels()
    await until(() => !("bob" in a.presenceState()), "bob's end")
    assert.ok(seen.sync >= 2 && seen.leave.includes("bob"))
    await client.removeAllChannels()
  })

  await check(`${vsn}: tokens`, async () => {
    const got = []
    const channel = client.channel(name("auth")).on("postgres_changes", { event: "INSERT", schema: "public", table: "rooms" },
      (p) => got.push(p.new.id))
    await subscribed(channel)
    await client.realtime.setAuth(serviceKey)
    await write(admin.from("rooms").insert({ id: 200 }))
    await until(() => got.length === 1, "the row")
    await client.realtime.setAuth("x.y.z")
    await until(() => channel.state === "closed" || channel.state === "errored", "the end of a forged token's channel")
    await client.realtime.setAuth(anonKey)
    await client.removeAllChannels()
  })

  await check(`${vsn}: a channel comes back by itself after the connection broke`, async () => {
    const got = []
    const channel = client.realtime.channel(name("again"), { config: {} }).on("broadcast", { event: "e" }, (p) => got.push(p))
    const told = await subscribed(channel)
    client.realtime.socketAdapter.getSocket().conn.close()
    await until(() => told.filter((s) => s === "SUBSCRIBED").length === 2, "the second subscription")
    await client.channel(name("again")).httpSend("e", {})
    await until(() => got.length === 1, "a message")
    await client.removeAllChannels()
  })
  await client.realtime.disconnect()
  await other.realtime.disconnect()
}

report()
