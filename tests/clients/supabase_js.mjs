// Every method of supabase-js's query builder against a running server. Prints a table of methods at the end and
// exits with 1 if a check failed or a method was never called.
import assert from "node:assert/strict"
import { createClient } from "@supabase/supabase-js"
import { args, WebSocket } from "./host.mjs"
import { check, data, report, watched } from "./watch.mjs"

const [url, anonKey, serviceKey] = args
const UNUSED = new Set(["constructor", "then", "cloneRequestState", "processResponse"]) // inner ones; `then` is await
// The classes of the builders are not exported, so they are found from builders that the client makes.
const seen = new Set()
function watch(sample) {
  for (let p = Object.getPrototypeOf(sample); p && p !== Object.prototype; p = Object.getPrototypeOf(p)) {
    if (seen.has(p)) continue
    seen.add(p)
    for (const name of Object.getOwnPropertyNames(p)) {
      if (UNUSED.has(name) || typeof p[name] !== "function") continue
      watched(p, name)
    }
  }
}
// Node before 22 has no WebSocket of its own; the query builder needs none, but the client looks for one.
const options = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: WebSocket } }
const anon = createClient(url, anonKey, options)
const admin = createClient(url, serviceKey, options)
for (const sample of [anon.schema("public"), anon.from("x"), anon.from("x").select(), anon.rpc("x")]) watch(sample)

async function code(query) {
  const reply = await query
  assert.notEqual(reply.error, null, `no error, but ${JSON.stringify(reply.data)}`)
  return reply.error.code
}

const FILTERS = {
  eq: [(q) => q.eq("id", 1), [1]],
  "eq of a JSON path": [(q) => q.eq("facts->>year", "1971"), [2]],
  neq: [(q) => q.neq("id", 1), [2, 3, 4]],
  gt: [(q) => q.gt("price", 9), [1, 3]],
  gte: [(q) => q.gte("price", 9.5), [1, 3]],
  lt: [(q) => q.lt("price", 9), [2]],
  lte: [(q) => q.lte("facts->year", 1971), [2, 3]],
  like: [(q) => q.like("title", "The %"), [1, 2]],
  likeAllOf: [(q) => q.likeAllOf("title", ["The%", "%Heaven"]), [2]],
  likeAnyOf: [(q) => q.likeAnyOf("title", ["Sol%", "Unt%"]), [3, 4]],
  ilike: [(q) => q.ilike("title", "the %"), [1, 2]],
  ilikeAllOf: [(q) => q.ilikeAllOf("title", ["the%", "%heaven"]), [2]],
  ilikeAnyOf: [(q) => q.ilikeAnyOf("title", ["SOL%", "UNT%"]), [3, 4]],
  regexMatch: [(q) => q.regexMatch("title", "^The [DL]"), [1, 2]],
  regexIMatch: [(q) => q.regexIMatch("title", "^the (d|u)"), [1]],
  "is null": [(q) => q.is("price", null), [4]],
  "is true": [(q) => q.is("printed", true), [1, 2]],
  isDistinct: [(q) => q.isDistinct("printed", true), [3, 4]],
  in: [(q) => q.in("title", ["Solaris", "Untitled", "with, (odd) \"signs\""]), [3, 4]],
  notIn: [(q) => q.notIn("id", [1, 2]), [3, 4]],
  "contains, array": [(q) => q.contains("tags", ["dreams"]), [2, 3]],
  "contains, JSON": [(q) => q.contains("facts", { awards: ["hugo"] }), [1]],
  "contains, range": [(q) => q.contains("pages", "[250,260)"), [1, 3]],
  "containedBy, array": [(q) => q.containedBy("tags", ["dreams", "ocean"]), [2, 3, 4]],
  "containedBy, JSON": [(q) => q.containedBy("facts", { year: 1961, more: 1 }), [3, 4]],
  "containedBy, range": [(q) => q.containedBy("pages", "[100,400)"), [3]],
  rangeGt: [(q) => q.rangeGt("pages", "[1,200)"), [3]],
  rangeGte: [(q) => q.rangeGte("pages", "[2,250)"), [3]],
  rangeLt: [(q) => q.rangeLt("pages", "[300,500)"), [2, 3]],
  rangeLte: [(q) => q.rangeLte("pages", "[1,300)"), [2, 3]],
  rangeAdjacent: [(q) => q.rangeAdjacent("pages", "[300,400)"), [3]],
  "overlaps, array": [(q) => q.overlaps("tags", ["moon", "ocean"]), [1, 3]],
  "overlaps, range": [(q) => q.overlaps("pages", "[190,210)"), [1, 2, 3]],
  textSearch: [(q) => q.textSearch("words", "'dispossessed' | 'solaris'"), [1, 3]],
  "textSearch, plain": [(q) => q.textSearch("words", "lathe heaven", { type: "plain", config: "english" }), [2]],
  "textSearch, phrase": [(q) => q.textSearch("words", "lathe of heaven", { type: "phrase", config: "english" }), [2]],
  "textSearch, web": [(q) => q.textSearch("title", "heaven or solaris", { type: "websearch", config: "english" }), [2, 3]],
  match: [(q) => q.match({ author_id: 1, price: 8 }), [2]],
  not: [(q) => q.not("author_id", "is", null), [1, 2, 3]],
  "not in": [(q) => q.not("id", "in", "(1,2)"), [3, 4]],
  or: [(q) => q.or("id.eq.1,and(price.gt.10,title.not.like.The*)"), [1, 3]],
  filter: [(q) => q.filter("id", "in", "(1,4)"), [1, 4]],
  limit: [(q) => q.limit(2), [1, 2]],
  range: [(q) => q.range(1, 2), [2, 3]],
}
for (const [name, [apply, wanted]] of Object.entries(FILTERS)) {
  await check(name, async () => {
    const rows = await data(apply(anon.from("books").select("id")).order("id"))
    assert.deepEqual(rows.map((row) => row.id), wanted)
  })
}

await check("or inside an embed", async () => {
  const rows = await data(anon.from("authors").select("id, books(id)").or("id.eq.1,price.gt.12", { referencedTable: "books" })
    .order("id"))
  assert.deepEqual(rows.map((a) => a.books.map((b) => b.id)), [[1], [3], []])
})
await check("select: aliases, casts, JSON paths", async () => {
  const row = await data(anon.from("books").select("name:title, cost:price::text, year:facts->year, first:facts->awards->>0")
    .eq("id", 1).single())
  assert.deepEqual(row, { name: "The Dispossessed", cost: "9.50", year: 1974, first: "hugo" })
})
await check("select: to-one, to-many, many-to-many, hints", async () => {
  const row = await data(anon.from("books")
    .select("title, writer:authors!books_author_id_fkey(name, books(id)), genres(name)").eq("id", 2)
    .order("id", { referencedTable: "writer.books" }).single())
  assert.deepEqual(row, {
    title: "The Lathe of Heaven", writer: { name: "Ursula", books: [{ id: 1 }, { id: 2 }] }, genres: [{ name: "science fiction" }],
  })
})
await check("select: inner and left joins, filters inside", async () => {
  const inner = await data(anon.from("authors").select("name, books!inner(title)").eq("books.title", "Solaris"))
  assert.deepEqual(inner, [{ name: "Stanislaw", books: [{ title: "Solaris" }] }])
  const left = await data(anon.from("authors").select("name, books!left(title)").eq("books.title", "Solaris").order("id"))
  assert.deepEqual(left.map((a) => a.books.length), [0, 1, 0])
  assert.deepEqual((await data(anon.from("authors").select("name, books()").is("books", null))), [{ name: "Nobody" }])
})
await check("select: spread of one and of many", async () => {
  const one = await data(anon.from("books").select("id, ...authors(author:name)").eq("id", 3).single())
  assert.deepEqual(one, { id: 3, author: "Stanislaw" })
  const many = await data(anon.from("authors").select("name, ...books(titles:title)").eq("id", 2).single())
  assert.deepEqual(many, { name: "Stanislaw", titles: ["Solaris"] })
})
await check("select: aggregates", async () => {
  const rows = await data(anon.from("books").select("author_id, sold.sum(), count()").not("author_id", "is", null).order("author_id"))
  assert.deepEqual(rows, [{ author_id: 1, sum: 5, count: 2 }, { author_id: 2, sum: 7, count: 1 }])
})
await check("select: counts and head", async () => {
  for (const count of ["exact", "planned", "estimated"]) {
    const reply = await anon.from("books").select("*", { count, head: true })
    assert.deepEqual([reply.error, reply.data, typeof reply.count], [null, null, "number"])
  }
  const reply = await anon.from("books").select("id", { count: "exact" }).range(0, 1)
  assert.deepEqual([reply.count, reply.data.length, reply.status], [4, 2, 206])
})
await check("select from a view", async () => {
  assert.deepEqual(await data(anon.from("cheap_books").select("id, authors(name)").eq("id", 1)), [{ id: 1, authors: { name: "Ursula" } }])
})
await check("order: direction, nulls, by a to-one embed, inside an embed", async () => {
  const ids = async (query) => (await data(query)).map((row) => row.id)
  const books = () => anon.from("books").select("id, authors(name)")
  assert.deepEqual(await ids(books().order("price", { ascending: false, nullsFirst: false })), [3, 1, 2, 4])
  assert.deepEqual(await ids(books().order("price", { nullsFirst: true })), [4, 2, 1, 3])
  assert.deepEqual(await ids(books().order("authors(name)").order("id", { ascending: false })), [3, 2, 1, 4])
  const row = await data(anon.from("authors").select("books(id)").eq("id", 1)
    .order("id", { referencedTable: "books", ascending: false }).limit(1, { referencedTable: "books" }).single())
  assert.deepEqual(row.books, [{ id: 2 }])
  const part = await data(anon.from("authors").select("books(id)").eq("id", 1)
    .order("id", { referencedTable: "books" }).range(1, 1, { referencedTable: "books" }).single())
  assert.deepEqual(part.books, [{ id: 2 }])
})
await check("single and maybeSingle", async () => {
  assert.deepEqual(await data(anon.from("genres").select().eq("id", 2).single()), { id: 2, name: "utopia" })
  assert.equal(await code(anon.from("genres").select().single()), "PGRST116")
  assert.deepEqual(await data(anon.from("genres").select().eq("id", 2).maybeSingle()), { id: 2, name: "utopia" })
  assert.equal(await data(anon.from("genres").select().eq("id", 9).maybeSingle()), null)
  assert.equal(await code(anon.from("genres").select().maybeSingle()), "PGRST116")
})
await check("csv", async () => {
  assert.equal(await data(anon.from("genres").select().order("id").csv()), 'id,name\n1,"science fiction"\n2,utopia')
})
await check("geojson", async () => {
  const found = await data(anon.from("genres").select("id").order("id").geojson())
  assert.equal(found.type, "FeatureCollection")
  assert.deepEqual(found.features.map((f) => f.properties.id), [1, 2])
})
await check("explain as text and JSON", async () => {
  assert.match(await data(anon.from("books").select("id").explain()), /Aggregate .*cost=/)
  const options = { analyze: true, verbose: true, settings: true, buffers: true, format: "json" }
  const [plan] = await data(anon.from("books").select("id").explain(options))
  assert.equal(typeof plan["Execution Time"], "number")
})
await check("stripNulls", async () => {
  assert.deepEqual(await data(anon.from("authors").select("id, born").eq("id", 3).stripNulls()), [{ id: 3 }])
})
await check("abortSignal", async () => {
  const stop = new AbortController()
  stop.abort()
  assert.match((await anon.from("books").select().abortSignal(stop.signal)).error.message, /abort/i)
  assert.equal((await data(anon.from("books").select().abortSignal(new AbortController().signal))).length, 4)
})
await check("throwOnError", async () => {
  await assert.rejects(async () => anon.from("books").select("nothing").throwOnError(), /nothing/)
  assert.equal((await anon.from("books").select("id").throwOnError()).data.length, 4)
})
await check("setHeader and retry", async () => {
  assert.equal(await data(anon.rpc("seen_header", { name: "x-test" }).setHeader("x-test", "here")), "here")
  assert.equal((await data(anon.from("books").select("id").retry(false))).length, 4)
})
await check("returns and overrideTypes", async () => {
  assert.equal((await data(anon.from("books").select("id").returns())).length, 4)
  assert.equal((await data(anon.from("books").select("id").overrideTypes())).length, 4)
})
await check("schema, from and getOpenApiSpec", async () => {
  assert.deepEqual(await data(anon.schema("archive").from("letters").select()), [{ id: 1, body: "Dear reader" }])
  assert.equal(await data(anon.schema("archive").rpc("count_letters")), 1)
  assert.equal(await code(anon.schema("private").from("x").select()), "PGRST106")
  const rest = anon.schema("public")
  if (rest.getOpenApiSpec) assert.ok((await data(rest.getOpenApiSpec())).paths["/books"])
})

await check("insert: one, none back, many, defaults, count, refusals", async () => {
  assert.deepEqual(await data(admin.from("genres").insert({ id: 10, name: "ten" }).select().single()), { id: 10, name: "ten" })
  const quiet = await admin.from("genres").insert({ id: 11, name: "eleven" })
  assert.deepEqual([quiet.status, quiet.data, quiet.error], [201, null, null])
  const many = await admin.from("genres").insert([{ id: 12, name: "a" }, { id: 13, name: "b" }], { count: "exact" })
  assert.equal(many.count, 2)
  const filled = await data(admin.from("books").insert([{ title: "x" }, { title: "y", sold: 3 }], { defaultToNull: false })
    .select("title, sold").order("title"))
  assert.deepEqual(filled, [{ title: "x", sold: 0 }, { title: "y", sold: 3 }])
  assert.equal(await code(admin.from("books").insert([{ title: "x" }, { title: "y", sold: 3 }])), "23502")
  assert.equal(await code(admin.from("genres").insert({ id: 10, name: "again" })), "23505")
  assert.equal(await code(admin.from("genres").insert({ id: 10, nothing: 1 })), "PGRST204")
  assert.equal(await code(anon.from("genres").insert({ id: 14, name: "x" })), "42501")
  assert.deepEqual(await data(admin.from("books").insert({ title: "z", author_id: 2 }).select("title, authors(name)").single()),
    { title: "z", authors: { name: "Stanislaw" } })
})
await check("upsert: merge, onConflict, ignoreDuplicates, defaultToNull", async () => {
  assert.deepEqual(await data(admin.from("genres").upsert({ id: 10, name: "TEN" }).select().single()), { id: 10, name: "TEN" })
  const byName = await data(admin.from("authors").upsert({ name: "Ursula", country: "USA" }, { onConflict: "name" })
    .select("id, country").single())
  assert.deepEqual(byName, { id: 1, country: "USA" })
  const ignored = await admin.from("genres").upsert([{ id: 10, name: "no" }, { id: 15, name: "new" }],
    { ignoreDuplicates: true, count: "exact" }).select()
  assert.deepEqual([ignored.data, ignored.error], [[{ id: 15, name: "new" }], null])
  const filled = await data(admin.from("books").upsert([{ id: 900, title: "p" }, { id: 901, title: "q", sold: 2 }],
    { defaultToNull: false }).select("sold").order("id"))
  assert.deepEqual(filled, [{ sold: 0 }, { sold: 2 }])
})
await check("update: filtered, count, with an embed in the answer", async () => {
  const reply = await admin.from("books").update({ sold: 50 }, { count: "exact" }).in("title", ["x", "y"]).select("sold")
  assert.deepEqual([reply.count, reply.data], [2, [{ sold: 50 }, { sold: 50 }]])
  assert.deepEqual(await data(admin.from("books").update({ sold: 51 }).eq("title", "z").select("sold, authors(name)").single()),
    { sold: 51, authors: { name: "Stanislaw" } })
  assert.equal((await admin.from("books").update({ sold: 1 }).eq("id", -1)).status, 204)
})
await check("maxAffected", async () => {
  assert.equal(await code(admin.from("books").update({ sold: 1 }).gt("id", 0).maxAffected(1)), "PGRST124")
  assert.equal((await data(admin.from("books").select("id").eq("sold", 1))).length, 0)
  assert.equal((await data(admin.from("books").update({ sold: 52 }).eq("title", "z").maxAffected(1).select("id"))).length, 1)
  assert.equal(await code(admin.rpc("sell_all").maxAffected(1)), "PGRST124")
  assert.equal(await code(admin.from("books").delete().gt("id", 4).maxAffected(2)), "PGRST124")
})
await check("odd values survive every way in", async () => {
  const odd = ["a,b", "(c)", 'quo"te', "back\\slash", "per%cent", "a&b=c#d?e", "plus + space", "ünï 日本 🎭", "null", "{x}", "a.b:c",
    "*star*", "'", "line\nbreak", "\t", " edge ", "--", ";drop table books"]
  const rows = odd.map((name, place) => ({ id: 500 + place, name }))
  await data(admin.from("genres").insert(rows))
  for (const { id, name } of rows) {
    assert.deepEqual(await data(admin.from("genres").select("id").eq("name", name)), [{ id }], `eq ${name}`)
    if (name === name.trim()) { // supabase-js does not quote these, and PostgREST's lists drop spaces around values
      assert.deepEqual(await data(admin.from("genres").select("id").in("name", [name, "other, (one)"])), [{ id }], `in ${name}`)
    }
    assert.deepEqual(await data(admin.from("genres").select("id").match({ name, id })), [{ id }], `match ${name}`)
    const inner = name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')
    assert.deepEqual(await data(admin.from("genres").select("id").or(`name.eq."${inner}",id.eq.-1`)), [{ id }], `or ${name}`)
    assert.equal(await data(anon.rpc("echo", { text: name })), name, `rpc post ${name}`)
    assert.equal(await data(anon.rpc("echo", { text: name }, { get: true })), name, `rpc get ${name}`)
  }
  assert.deepEqual(await data(admin.from("genres").select("name").gte("id", 500).order("id")), odd.map((name) => ({ name })))
  await data(admin.from("genres").delete().gte("id", 500))
})
await check("rollback", async () => {
  const told = await data(admin.from("genres").insert({ id: 20, name: "gone" }).rollback().select())
  assert.deepEqual(told, [{ id: 20, name: "gone" }])
  assert.deepEqual(await data(admin.from("genres").select().eq("id", 20)), [])
})
await check("delete: filtered, count, rows back", async () => {
  const reply = await admin.from("genres").delete({ count: "exact" }).in("id", [12, 13])
  assert.deepEqual([reply.status, reply.count], [204, 2])
  assert.deepEqual(await data(admin.from("genres").delete().eq("id", 15).select("name")), [{ name: "new" }])
  await data(admin.from("genres").delete().gte("id", 10))
  await data(admin.from("books").delete().gt("id", 4))
})
await check("rpc: POST, GET, HEAD, defaults, rows, filters, errors", async () => {
  assert.equal(await data(anon.rpc("add", { a: 1, b: 2 })), 3)
  assert.equal(await data(anon.rpc("add", { a: 1 }, { get: true })), 11)
  const head = await anon.rpc("books_over", { lowest: 9 }, { head: true, count: "exact" })
  assert.deepEqual([head.error, head.data, head.count], [null, null, 2])
  assert.equal((await anon.rpc("books_over", { lowest: 9 }, { count: "exact" })).count, 2)
  assert.deepEqual(await data(anon.rpc("books_over", { lowest: 0 }).select("id, authors(name)").eq("id", 3).single()),
    { id: 3, authors: { name: "Stanislaw" } })
  assert.deepEqual((await data(anon.rpc("books_over", { lowest: 0 }).order("price").limit(1))).map((b) => b.id), [2])
  assert.equal((await data(admin.rpc("sell", { book: 4 }).select("sold").single())).sold, 1)
  await data(admin.from("books").update({ sold: 0 }).eq("id", 4))
  assert.equal(await code(anon.rpc("sell", { book: 4 })), "42501")
  assert.equal(await code(anon.rpc("sell", { book: 4 }, { get: true })), "25006")
  assert.equal(await code(anon.rpc("nothing_such")), "PGRST202")
})
await check("errors name what was meant", async () => {
  const { error } = await anon.from("book").select()
  assert.deepEqual([error.code, error.hint], ["PGRST205", "Perhaps you meant the table 'public.books'"])
  assert.equal(await code(anon.from("books").select("nothing")), "42703")
  assert.equal(await code(anon.from("books").select("id, nothing(id)")), "PGRST200")
})

report()
