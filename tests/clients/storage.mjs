// Every public method of supabase-js's storage client against a running server. Prints a table of methods at the end
// and exits with 1 if a check failed or a method was never called.
import assert from "node:assert/strict"
import { createClient } from "@supabase/supabase-js"
import { args, WebSocket } from "./host.mjs"
import { check, data, onlyInNode, refusal, report, watched } from "./watch.mjs"

const [url, anonKey, serviceKey] = args
const options = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: WebSocket } }
const admin = createClient(url, serviceKey, options).storage
const anon = createClient(url, anonKey, options).storage
// Inner ones, and other products: `vectors` and `analytics` have tests of their own at the end.
const INNER = new Set(["constructor", "uploadOrUpdate", "prepareUploadFormData", "encodeMetadata", "toBase64",
  "_getFinalPath", "_removeEmptyFolders", "applyTransformOptsToQuery", "listBucketOptionsToQueryString", "lifecycleUrl",
  "handleOperation", "getLifecycleUrl", "bucketLifecycleUrl"])
function watch(sample, seen = new Set()) {
  for (let p = Object.getPrototypeOf(sample); p && p !== Object.prototype; p = Object.getPrototypeOf(p)) {
    if (seen.has(p) || watch.seen.has(p)) continue
    watch.seen.add(p)
    for (const name of Object.getOwnPropertyNames(p)) {
      const found = Object.getOwnPropertyDescriptor(p, name).value
      if (INNER.has(name) || name.startsWith("_") || typeof found !== "function") continue
      watched(p, name)
    }
  }
}
watch.seen = new Set()
watch(admin)
watch(admin.from("x"))
watch(admin.from("x").download("x"))

const PNG = Uint8Array.from(atob("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="), (c) => c.charCodeAt(0))
const files = admin.from("js")

await check("buckets", async () => {
  assert.deepEqual(await data(admin.createBucket("js", { public: false, fileSizeLimit: "1mb" })), { name: "js" })
  await data(admin.createBucket("js-open", { public: true, allowedMimeTypes: ["image/png"] }))
  assert.equal((await refusal(admin.createBucket("js"))).message, "The resource already exists")
  const bucket = await data(admin.getBucket("js"))
  assert.equal(bucket.file_size_limit, 1000000)
  assert.deepEqual(await data(admin.updateBucket("js", { public: false, fileSizeLimit: "2mb" })), { message: "Successfully updated" })
  assert.equal((await data(admin.getBucket("js"))).file_size_limit, 2000000)
  const listed = await data(admin.listBuckets({ limit: 1, sortColumn: "name", sortOrder: "desc", search: "js" }))
  assert.deepEqual(listed.map((one) => one.id), ["js-open"])
  assert.deepEqual(await data(anon.listBuckets()), [])
  assert.equal((await refusal(anon.getBucket("js"))).message, "Bucket not found")
})
await check("upload of every kind of body", async () => {
  const bodies = {
    text: "hello", blob: new Blob(["hello"], { type: "text/x-blob" }),
    array: new TextEncoder().encode("hello").buffer, view: new TextEncoder().encode("hello"),
  }
  if (onlyInNode("a stream as the body", "Chromium sends streams over HTTP/2 only")) {
    const { Readable } = await import("node:stream")
    bodies.buffer = Buffer.from("hello")
    bodies.stream = Readable.from([Buffer.from("hel"), Buffer.from("lo")])
    bodies.web = new Blob(["hello"]).stream()
  } else for (const name of ["buffer", "stream", "web"]) bodies[name] = new Uint8Array([104, 101, 108, 108, 111])
  for (const [name, body] of Object.entries(bodies)) {
    const made = await data(files.upload(`up/${name}`, body, { cacheControl: "77", metadata: { kind: name } }))
    assert.equal(made.fullPath, `js/up/${name}`)
    assert.equal(await (await data(files.download(`up/${name}`))).text(), "hello")
    const info = await data(files.info(`up/${name}`))
    assert.deepEqual([info.size, info.cacheControl, info.metadata], [5, "max-age=77", { kind: name }])
  }
  const form = new FormData()
  form.append("file", new Blob(["form"], { type: "text/x-form" }), "x.txt")
  await data(files.upload("up/form", form))
  assert.equal((await data(files.info("up/form"))).contentType, "text/x-form")
})
await check("upload refused and replaced", async () => {
  assert.equal((await refusal(files.upload("up/text", "again"))).statusCode, "409")
  await data(files.upload("up/text", "again", { upsert: true }))
  assert.equal(await (await data(files.download("up/text"))).text(), "again")
  await data(files.update("up/text", "third", { contentType: "text/x-third" }))
  assert.equal((await data(files.info("up/text"))).contentType, "text/x-third")
  assert.equal((await refusal(files.upload("big", new Uint8Array(2000001)))).message, "The object exceeded the maximum allowed size")
  const wrong = await refusal(admin.from("js-open").upload("x", "x", { contentType: "image/jpeg" }))
  assert.deepEqual([wrong.statusCode, wrong.message], ["415", "mime type image/jpeg is not supported"])
  assert.equal((await refusal(anon.from("js").upload("x", "x"))).statusCode, "403")
  assert.equal((await refusal(admin.from("none").upload("x", "x"))).message, "Bucket not found")
})
await check("exists, info", async () => {
  assert.equal(await data(files.exists("up/text")), true)
  const absent = await files.exists("up/none")
  assert.equal(absent.data, false)
  assert.equal((await refusal(files.info("up/none"))).message, "Object not found")
})
await check("download as a blob, as a stream, missing", async () => {
  const stream = (await files.download("up/blob").asStream()).data
  let text = ""
  for await (const piece of stream) text += new TextDecoder().decode(piece)
  assert.equal(text, "hello")
  assert.equal((await data(files.download("up/blob"))).type, "text/x-blob")
  await refusal(files.download("up/none"))
  let done = 0
  await files.download("up/blob").finally(() => (done += 1))
  await files.download("up/blob").catch(() => assert.fail("it is there"))
  assert.equal(done, 1)
  await refusal(anon.from("js").download("up/blob"))
})
await check("list", async () => {
  const top = await data(files.list())
  assert.deepEqual([top[0].name, top[0].id], ["up", null])
  const inner = await data(files.list("up", { limit: 2, offset: 1, sortBy: { column: "name", order: "desc" } }))
  assert.deepEqual(inner.map((one) => one.name), ["view", "text"])
  assert.deepEqual((await data(files.list("up", { search: "bu" }))).map((one) => one.name), ["buffer"])
  assert.deepEqual(await data(anon.from("js").list()), [])
})
await check("listV2", async () => {
  let cursor, seen = []
  do {
    const page = await data(files.listV2({ prefix: "up/", limit: 3, cursor }))
    seen.push(...page.objects.map((one) => one.name))
    cursor = page.nextCursor
  } while (cursor)
  assert.equal(seen.length, 8)
  const top = await data(files.listV2({ with_delimiter: true }))
  assert.deepEqual(top.folders.map((one) => one.name), ["up/"])
})
await check("copy, move", async () => {
  assert.equal((await data(files.copy("up/text", "copy/text"))).path, "js/copy/text")
  assert.deepEqual(Object.keys(await data(files.move("copy/text", "moved/text"))).includes("message"), true)
  assert.equal(await (await data(files.download("moved/text"))).text(), "third")
  await refusal(files.copy("none", "x"))
  await data(admin.createBucket("js-other"))
  await data(files.copy("moved/text", "there", { destinationBucket: "js-other" }))
  assert.equal((await data(admin.from("js-other").info("there"))).contentType, "text/x-third")
})
await check("signed URLs", async () => {
  const one = await data(files.createSignedUrl("up/text", 60, { download: "my file.txt" }))
  const answer = await fetch(one.signedUrl)
  assert.equal(await answer.text(), "third")
  assert.equal(answer.headers.get("content-disposition"), "attachment; filename=my%20file.txt; filename*=UTF-8''my%20file.txt")
  const many = await data(files.createSignedUrls(["up/text", "none"], 60))
  assert.deepEqual(many.map((each) => each.error === null), [true, false])
  assert.equal((await fetch(many[0].signedUrl)).status, 200)
  await refusal(anon.from("js").createSignedUrl("up/text", 60))
})
await check("signed uploads", async () => {
  const signed = await data(files.createSignedUploadUrl("signed/up"))
  const made = await data(anon.from("js").uploadToSignedUrl("signed/up", signed.token, new Blob(["signed"])))
  assert.equal(made.fullPath, "js/signed/up")
  assert.equal((await refusal(anon.from("js").uploadToSignedUrl("signed/up", signed.token, "x"))).statusCode, "409")
  await refusal(anon.from("js").uploadToSignedUrl("other", signed.token, "x"))
})
await check("public URLs and transformed images", async () => {
  const open = admin.from("js-open")
  await data(open.upload("a.png", PNG, { contentType: "image/png" }))
  const plain = open.getPublicUrl("a.png", { download: true }).data.publicUrl
  assert.equal((await fetch(plain)).headers.get("content-disposition"), "attachment")
  const small = open.getPublicUrl("a.png", { transform: { width: 20, height: 20, quality: 60 } }).data.publicUrl
  const answer = await fetch(small)
  assert.equal(answer.headers.get("x-transformations"), "height:20,width:20,resizing_type:fill,quality:60")
  assert.equal((await data(open.download("a.png", { transform: { width: 5, format: "avif" } }))).type, "image/avif")
  const signed = await data(open.createSignedUrl("a.png", 60, { transform: { width: 9 } }))
  assert.equal((await fetch(signed.signedUrl)).headers.get("content-type"), "image/png")
  await data(open.purgeCache("a.png", { transformations: true }))
  await data(admin.purgeBucketCache("js-open", { transformations: true }))
})
await check("remove", async () => {
  const gone = await data(files.remove(["up/text", "none"]))
  assert.deepEqual(gone.map((one) => one.name), ["up/text"])
  assert.deepEqual(await data(anon.from("js").remove(["up/blob"])), [])
})
await check("what is not kept here says so: versions, vectors, analytics", async () => {
  for (const call of [admin.getBucketLifecycle("js"), admin.deleteBucketLifecycle("js"),
    admin.updateBucketLifecycle("js", { rules: [] })]) {
    assert.match((await refusal(call)).message, /not versioned/)
  }
  assert.match((await refusal(admin.vectors.listBuckets())).message, /not kept here/)
})
await check("options of the client", async () => {
  const fixed = createClient(url, anonKey, options).storage
  if (fixed.setHeader) fixed.setHeader("authorization", `Bearer ${serviceKey}`)
  const from = fixed.from("js")
  if (from.throwOnError) await assert.rejects(from.throwOnError().info("none"))
  if (fixed.throwOnError) await assert.rejects(fixed.throwOnError().getBucket("none"))
})
await check("emptyBucket, deleteBucket", async () => {
  assert.match((await refusal(admin.deleteBucket("js"))).message, /not empty/)
  for (const id of ["js", "js-open", "js-other"]) {
    await data(admin.emptyBucket(id))
    assert.deepEqual(await data(admin.deleteBucket(id)), { message: "Successfully deleted" })
  }
})

report()
