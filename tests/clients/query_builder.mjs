// Every method of supabase-js's query builder against a running server. Prints one line per check; exit 1 if any fails.
import assert from "node:assert/strict"
import { createClient } from "@supabase/supabase-js"

const [url, anonKey, serviceKey] = process.argv.slice(2)
// Node before 22 has no WebSocket, and nothing here uses one.
const options = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: class {} } }
const anon = createClient(url, anonKey, options)
const db = createClient(url, serviceKey, options)
let failed = 0

async function check(name, run) {
  try {
    await run()
    console.log(`ok ${name}`)
  } catch (error) {
    failed += 1
    console.log(`not ok ${name}: ${error.message}`)
  }
}

const ids = async (query) => {
  const { data, error } = await query
  assert.equal(error, null, JSON.stringify(error))
  return data.map((row) => row.id)
}
const projects = () => anon.from("projects").select("id").order("id")

const filters = {
  eq: [(q) => q.eq("id", 1), [1]],
  neq: [(q) => q.neq("id", 1), [2, 3, 4]],
  gt: [(q) => q.gt("id", 3), [4]],
  gte: [(q) => q.gte("id", 3), [3, 4]],
  lt: [(q) => q.lt("id", 2), [1]],
  lte: [(q) => q.lte("id", 2), [1, 2]],
  like: [(q) => q.like("name", "Windows%"), [1, 2]],
  likeAllOf: [(q) => q.likeAllOf("name", ["W%", "%7"]), [1]],
  likeAnyOf: [(q) => q.likeAnyOf("name", ["%7", "IOS"]), [1, 3]],
  ilike: [(q) => q.ilike("name", "%OS"), [3]],
  ilikeAllOf: [(q) => q.ilikeAllOf("name", ["w%", "%7"]), [1]],
  ilikeAnyOf: [(q) => q.ilikeAnyOf("name", ["%7", "ios"]), [1, 3]],
  is: [(q) => q.is("client_id", null), [4]],
  in: [(q) => q.in("name", ["IOS", "Windows 7"]), [1, 3]],
  contains: [(q) => q.contains("data", { os: { bits: 64 } }), [2]],
  containedBy: [(q) => q.containedBy("data", { os: { bits: 32 }, more: 1 }), [1, 4]],
  textSearch: [(q) => q.textSearch("name", "windows", { type: "websearch", config: "english" }), [1, 2]],
  match: [(q) => q.match({ id: 2, client_id: 1 }), [2]],
  not: [(q) => q.not("client_id", "is", null), [1, 2, 3]],
  or: [(q) => q.or("id.eq.1,and(id.gt.2,name.eq.IOS)"), [1, 3]],
  filter: [(q) => q.filter("id", "in", "(1,4)"), [1, 4]],
  jsonPath: [(q) => q.eq("data->os->bits", 64), [2]],
  range: [(q) => q.range(1, 2), [2, 3]],
  limit: [(q) => q.limit(1), [1]],
}
for (const [name, [apply, expected]] of Object.entries(filters)) {
  await check(name, async () => assert.deepEqual(await ids(apply(projects())), expected))
}
const ranges = {
  rangeGt: ["rangeGt", "[1,3)", [2]],
  rangeGte: ["rangeGte", "[4,6)", [2]],
  rangeLt: ["rangeLt", "[5,9)", [1]],
  rangeLte: ["rangeLte", "[1,3)", [1]],
  rangeAdjacent: ["rangeAdjacent", "[3,4)", [1, 2]],
  overlaps: ["overlaps", "[2,5)", [1, 2]],
  containsRange: ["contains", "[1,2)", [1]],
}
for (const [name, [method, value, expected]] of Object.entries(ranges)) {
  await check(name, async () =>
    assert.deepEqual(await ids(anon.from("spans").select("id").order("id")[method]("span", value)), expected))
}

await check("embeds, aliases, spreads, inner joins", async () => {
  const { data, error } = await anon
    .from("projects")
    .select("name, client:clients(name), tasks(id, people(name)), ...clients(owner:name)")
    .eq("id", 1)
    .order("id", { referencedTable: "tasks" })
    .limit(1, { referencedTable: "tasks" })
    .single()
  assert.equal(error, null, JSON.stringify(error))
  assert.deepEqual(data, {
    name: "Windows 7", client: { name: "Microsoft" }, owner: "Microsoft", tasks: [{ id: 1, people: [{ name: "Ada" }] }],
  })
  const inner = await anon.from("clients").select("name, projects!inner(name)").eq("projects.name", "IOS")
  assert.deepEqual(inner.data, [{ name: "Apple", projects: [{ name: "IOS" }] }])
})
await check("order by an embed, nulls", async () => {
  const { data } = await anon.from("projects").select("id").order("client_id", { nullsFirst: true }).order("id")
  assert.equal(data[0].id, 4)
})
await check("count and head", async () => {
  for (const count of ["exact", "planned", "estimated"]) {
    const reply = await anon.from("projects").select("*", { count, head: true })
    assert.equal(reply.error, null)
    assert.equal(typeof reply.count, "number")
  }
  const exact = await anon.from("projects").select("id", { count: "exact" }).range(0, 0)
  assert.deepEqual([exact.count, exact.data.length, exact.status], [4, 1, 206])
})
await check("single, maybeSingle, csv, explain refused", async () => {
  assert.equal((await anon.from("clients").select().eq("id", 99).maybeSingle()).data, null)
  assert.equal((await anon.from("clients").select().single()).error.code, "PGRST116")
  assert.match((await anon.from("clients").select().order("id").csv()).data, /^id,name\n1,Microsoft/)
  assert.equal((await anon.from("clients").select().explain()).error.code, "PGRST107")
  const geo = await anon.from("clients").select().geojson()
  assert.equal(geo.error.code, "42883")
})
await check("throwOnError and abortSignal", async () => {
  await assert.rejects(async () => anon.from("clients").select("nope").throwOnError(), /nope/)
  const stop = new AbortController()
  stop.abort()
  assert.notEqual((await anon.from("clients").select().abortSignal(stop.signal)).error, null)
})
await check("insert, bulk insert, defaults", async () => {
  const one = await db.from("clients").insert({ id: 100, name: "hundred" }).select().single()
  assert.deepEqual(one.data, { id: 100, name: "hundred" })
  const many = await db.from("counters").insert([{ label: "p" }, { label: "q", hits: 3 }], { defaultToNull: false })
    .select("label, hits").order("label")
  assert.deepEqual(many.data, [{ label: "p", hits: 1 }, { label: "q", hits: 3 }])
  assert.equal((await db.from("clients").insert({ id: 100, name: "again" })).error.code, "23505")
  assert.equal((await db.from("clients").insert({ id: 101, name: "counted" }, { count: "exact" })).count, 1)
})
await check("upsert", async () => {
  const merged = await db.from("counters").upsert({ label: "p", hits: 9 }, { onConflict: "label" }).select("hits").single()
  assert.equal(merged.data.hits, 9)
  const ignored = await db.from("counters").upsert({ label: "p", hits: 1 }, { onConflict: "label", ignoreDuplicates: true })
    .select()
  assert.deepEqual(ignored.data, [])
})
await check("update and delete", async () => {
  const changed = await db.from("counters").update({ hits: 77 }).eq("label", "q").select("hits")
  assert.deepEqual(changed.data, [{ hits: 77 }])
  const gone = await db.from("counters").delete({ count: "exact" }).in("label", ["p", "q"])
  assert.deepEqual([gone.status, gone.count], [204, 2])
  await db.from("clients").delete().gte("id", 100)
})
await check("maxAffected", async () => {
  const refused = await db.from("tasks").update({ name: "X" }).gt("id", 0).maxAffected(1)
  assert.equal(refused.error.code, "PGRST124")
})
await check("rpc by post, get and head", async () => {
  assert.equal((await anon.rpc("add", { a: 1, b: 2 })).data, 3)
  assert.equal((await anon.rpc("add", { a: 1 }, { get: true })).data, 11)
  const counted = await anon.rpc("find_projects", { lowest: 100 }, { head: true, count: "exact" })
  assert.equal(counted.count, 3)
  const filtered = await anon.rpc("find_projects", { lowest: 0 }).select("id, clients(name)").eq("id", 3).single()
  assert.deepEqual(filtered.data, { id: 3, clients: { name: "Apple" } })
  assert.equal((await anon.rpc("nothing_such")).error.code, "PGRST202")
})
await check("schema refused, table missing", async () => {
  assert.equal((await anon.schema("private").from("x").select()).error.code, "PGRST106")
  assert.equal((await anon.from("project").select()).error.hint, "Perhaps you meant the table 'public.projects'")
})
await check("anon may not write", async () => {
  assert.equal((await anon.from("clients").insert({ id: 1000, name: "x" })).error.code, "42501")
})
process.exit(failed ? 1 : 0)
