// Every method of supabase-js's auth client that needs no provider, second factor or administrator, against a running
// server. Prints a table of methods at the end and exits with 1 if a check failed or a method was never called.
import assert from "node:assert/strict"
import { createClient } from "@supabase/supabase-js"
import { args, WebSocket, run, visit } from "./host.mjs"
import { check, data, methods, report, watched } from "./watch.mjs"

const [url, anonKey, serviceKey] = args
// What has a program of its own: providers, identities, ID tokens, passkeys; `mfa` and `admin` are objects, not methods.
const ELSEWHERE = new Set(["constructor", "signInWithOAuth", "signInWithIdToken", "signInWithWeb3", "linkIdentity",
  "unlinkIdentity", "signInWithPasskey", "registerPasskey", "toJSON"])
const transport = { realtime: { transport: WebSocket } } // Node before 22 has no WebSocket of its own
function fresh(more = {}) {
  const auth = { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false, ...more }
  return createClient(url, anonKey, { auth, ...transport })
}
function watch(sample) {
  const p = Object.getPrototypeOf(sample)
  const root = Object.getOwnPropertyNames(p).includes("signUp") ? p : Object.getPrototypeOf(p)
  for (const name of Object.getOwnPropertyNames(root)) {
    if (name.startsWith("_") || ELSEWHERE.has(name) || !PUBLIC.has(name)) continue
    watched(root, name)
  }
}
const PUBLIC = new Set(["initialize", "isThrowOnErrorEnabled", "signInAnonymously", "signUp", "signInWithPassword",
  "exchangeCodeForSession", "signInWithOtp", "verifyOtp", "signInWithSSO", "reauthenticate", "resend", "getSession",
  "getUser", "updateUser", "setSession", "refreshSession", "signOut", "onAuthStateChange", "resetPasswordForEmail",
  "getUserIdentities", "startAutoRefresh", "stopAutoRefresh", "dispose", "getClaims"])
watch(fresh().auth)
assert.equal(methods.size, PUBLIC.size, "a method is gone from the client")
const admin = createClient(url, serviceKey, { auth: { persistSession: false, autoRefreshToken: false }, ...transport })

async function refused(call, code) {
  const { error } = await call
  assert.notEqual(error, null, "no error")
  assert.equal(error.code, code, error.message)
  return error
}
async function letter(recipient) {
  const rows = await data(admin.from("mail_inbox").select().eq("recipient", recipient).order("id", { ascending: false }).limit(1))
  assert.equal(rows.length, 1, `no letter to ${recipient}`)
  const link = new URL(rows[0].text.match(/http\S+/)?.[0] ?? "http://none")
  return { code: rows[0].text.match(/Code: (\d+)/)[1], link, hash: link.searchParams.get("token"), kind: rows[0].kind }
}
const password = "correct horse 1"
const email = `js-${run}@example.com`
const client = fresh()
const events = []

await check("initialize, throw-on-error, state changes, timers", async () => {
  const { data: { subscription } } = client.auth.onAuthStateChange((event) => events.push(event))
  assert.equal((await client.auth.initialize()).error, null)
  assert.ok(!client.auth.isThrowOnErrorEnabled())
  await client.auth.startAutoRefresh()
  await client.auth.stopAutoRefresh()
  assert.ok(subscription.id)
  const other = fresh()
  await other.auth.dispose()
})
await check("sign up with confirmation by link hash", async () => {
  const made = await data(client.auth.signUp({ email, password, options: { data: { nick: "n" }, emailRedirectTo: `${url}/in` } }))
  assert.equal(made.session, null)
  assert.equal(made.user.email, email)
  assert.equal((await refused(client.auth.signInWithPassword({ email, password }), "email_not_confirmed")).status, 400)
  const first = await letter(email)
  assert.equal(first.link.searchParams.get("redirect_to"), `${url}/in`)
  const done = await data(client.auth.verifyOtp({ token_hash: first.hash, type: "email" }))
  assert.ok(done.session.access_token && done.user.email_confirmed_at)
  assert.ok(events.includes("SIGNED_IN"))
})
await check("sign up refuses weak passwords and bad addresses, hides known ones", async () => {
  const weak = await refused(fresh().auth.signUp({ email: "x@example.com", password: "12345" }), "weak_password")
  assert.deepEqual([weak.name, weak.reasons], ["AuthWeakPasswordError", ["length"]])
  assert.equal((await refused(fresh().auth.signUp({ email: "x", password }), "validation_failed")).message,
    "Unable to validate email address: invalid format")
  const known = await data(fresh().auth.signUp({ email, password }))
  assert.deepEqual([known.session, known.user.email], [null, email])
})
await check("password sign-in, session, user, claims, identities", async () => {
  await refused(client.auth.signInWithPassword({ email, password: "wrong" }), "invalid_credentials")
  const { session, user } = await data(client.auth.signInWithPassword({ email, password }))
  assert.deepEqual([session.token_type, session.user.id], ["bearer", user.id])
  assert.equal((await data(client.auth.getSession())).session.access_token, session.access_token)
  assert.equal((await data(client.auth.getUser())).user.user_metadata.nick, "n")
  const { claims, header } = await data(client.auth.getClaims())
  assert.deepEqual([claims.sub, claims.aal, header.alg], [user.id, "aal1", "ES256"]) // checked in the client, by JWKS
  const { identities } = await data(client.auth.getUserIdentities())
  assert.deepEqual(identities.map((i) => [i.provider, i.identity_data.email]), [["email", email]])
  await refused(fresh().auth.getUser("a.b.c"), "bad_jwt")
})
await check("update user: data, address from both ends, password", async () => {
  assert.equal((await data(client.auth.updateUser({ data: { nick: "m" } }))).user.user_metadata.nick, "m")
  const next = `next-${email}`
  assert.equal((await data(client.auth.updateUser({ email: next }))).user.new_email, next)
  await data(client.auth.resend({ type: "email_change", email }))
  const half = await data(client.auth.verifyOtp({ email: next, token: (await letter(next)).code, type: "email_change" }))
  assert.equal(half.session, null)
  const whole = await data(client.auth.verifyOtp({ email, token: (await letter(email)).code, type: "email_change" }))
  assert.equal(whole.user.email, next)
  await data(client.auth.updateUser({ email }))
  await data(client.auth.verifyOtp({ email, token: (await letter(email)).code, type: "email_change" }))
  await data(client.auth.verifyOtp({ email: next, token: (await letter(next)).code, type: "email_change" }))
  await refused(client.auth.updateUser({ password }), "same_password")
  await data(client.auth.updateUser({ password: "another one" }))
  await data(client.auth.signInWithPassword({ email, password: "another one" }))
  await data(client.auth.updateUser({ password }))
})
await check("refresh: rotation, a lost answer, an unknown token; set session", async () => {
  const { session } = await data(client.auth.signInWithPassword({ email, password }))
  const next = (await data(client.auth.refreshSession())).session
  assert.notEqual(next.refresh_token, session.refresh_token)
  const late = await data(fresh().auth.refreshSession({ refresh_token: session.refresh_token }))
  assert.equal(late.session.refresh_token, next.refresh_token)
  await refused(fresh().auth.refreshSession({ refresh_token: "nonsense" }), "refresh_token_not_found")
  const other = fresh()
  assert.equal((await data(other.auth.setSession(next))).user.email, email)
  const old = { ...next, access_token: next.access_token.replace(/\.[^.]+\./, `.${btoa(JSON.stringify({ exp: 1 })).replace(/=+$/, "")}.`) }
  assert.equal((await data(fresh().auth.setSession(old))).user.email, email) // expired, so it is refreshed first
})
await check("codes: sign-in, unknown users, wrong and used codes, recovery, reauthentication", async () => {
  const other = fresh()
  await data(other.auth.signInWithOtp({ email }))
  const { code, kind } = await letter(email)
  assert.equal(kind, "magic_link")
  assert.equal((await refused(other.auth.verifyOtp({ email, token: "000000", type: "email" }), "otp_expired")).status, 403)
  assert.equal((await data(other.auth.verifyOtp({ email, token: code, type: "email" }))).user.email, email)
  await refused(other.auth.verifyOtp({ email, token: code, type: "email" }), "otp_expired")
  await refused(other.auth.signInWithOtp({ email: "no@example.com", options: { shouldCreateUser: false } }), "otp_disabled")
  await refused(other.auth.signInWithOtp({ phone: "+491512345" }), "phone_provider_disabled")
  await data(other.auth.resetPasswordForEmail(email))
  await data(other.auth.verifyOtp({ token_hash: (await letter(email)).hash, type: "recovery" }))
  await data(other.auth.reauthenticate())
  assert.equal((await letter(email)).kind, "reauthentication")
  const unborn = `unborn-${email}`
  await data(other.auth.signUp({ email: unborn, password }))
  const before = (await letter(unborn)).code
  await data(other.auth.resend({ type: "signup", email: unborn }))
  assert.notEqual((await letter(unborn)).code, before)
  await data(other.auth.resend({ type: "signup", email: "no@example.com" }))
})
await check("PKCE: the link ends in a code that only this client redeems", async () => {
  const kept = new Map()
  const storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) }
  const other = fresh({ flowType: "pkce", persistSession: true, storage, storageKey: "pkce" })
  await data(other.auth.signInWithOtp({ email, options: { emailRedirectTo: `${url}/in` } }))
  const to = await visit((await letter(email)).link, `${url}/in`)
  assert.equal(to.origin + to.pathname, `${url}/in`)
  const code = to.searchParams.get("code")
  const { session } = await data(other.auth.exchangeCodeForSession(code))
  assert.equal(session.user.email, email)
  const again = await other.auth.exchangeCodeForSession(code)
  assert.notEqual(again.error, null)
})
await check("anonymous users become permanent", async () => {
  const other = fresh()
  const { user } = await data(other.auth.signInAnonymously({ options: { data: { theme: "dark" } } }))
  assert.deepEqual([user.is_anonymous, user.user_metadata.theme], [true, "dark"])
  const own = `own-${email}`
  await data(other.auth.updateUser({ email: own }))
  const done = await data(other.auth.verifyOtp({ email: own, token: (await letter(own)).code, type: "email_change" }))
  assert.deepEqual([done.user.id, done.user.is_anonymous], [user.id, false])
  await data(other.auth.updateUser({ password }))
  await data(fresh().auth.signInWithPassword({ email: own, password }))
})
await check("sign-out scopes end sessions; single sign-on is off", async () => {
  const one = fresh(), two = fresh(), three = fresh()
  for (const each of [one, two, three]) await data(each.auth.signInWithPassword({ email, password }))
  const held = (await data(two.auth.getSession())).session
  assert.equal((await one.auth.signOut({ scope: "others" })).error, null)
  await refused(fresh().auth.refreshSession({ refresh_token: held.refresh_token }), "refresh_token_not_found")
  assert.equal((await data(one.auth.getUser())).user.email, email)
  assert.equal((await one.auth.signOut({ scope: "local" })).error, null)
  assert.equal((await data(one.auth.getSession())).session, null)
  assert.equal((await client.auth.signOut()).error, null)
  assert.ok(events.includes("SIGNED_OUT"))
  await refused(one.auth.signInWithSSO({ domain: "example.com" }), "saml_provider_disabled")
})
await check("the session opens tables as the user", async () => {
  const other = fresh()
  const { user } = await data(other.auth.signInWithPassword({ email, password }))
  assert.equal(await data(other.rpc("whoami")), user.id)
  await data(other.auth.signOut())
  assert.equal(await data(other.rpc("whoami")), null)
})

report()
