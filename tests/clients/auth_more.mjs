// Every method of supabase-js's auth that is not plain sign-in: providers, PKCE, ID tokens, identities, second factors,
// passkeys, administration. Prints a table of methods at the end and exits with 1 if a check failed or a method was
// never called.
import assert from "node:assert/strict"
import { createClient } from "@supabase/supabase-js"
import { newDevice } from "./device.mjs"
import { args, run, visit, WebSocket } from "./host.mjs"
import { check, data, refusal, report, watched } from "./watch.mjs"

const [url, anonKey, serviceKey, origin, redirectTo] = args
const site = new URL(redirectTo).origin

/** Count the calls of functions of an object under `prefix`. */
function watch(prefix, object, names = Object.keys(object).filter((key) => typeof object[key] === "function")) {
  for (const name of names) watched(object, name, prefix + name)
}
// Sign-in by password and mail has a program of its own; these are the rest of the client's public methods.
const MORE = [
  "signInWithOAuth", "exchangeCodeForSession", "signInWithIdToken", "signInWithSSO", "signInWithWeb3",
  "getUserIdentities", "linkIdentity", "unlinkIdentity", "registerPasskey", "signInWithPasskey",
] // prettier-ignore
const ADMIN = [
  "signOut", "inviteUserByEmail", "generateLink", "createUser", "listUsers", "getUserById", "updateUserById", "deleteUser",
] // prettier-ignore
function memory() {
  const kept = new Map()
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  }
}
function client(flowType = "pkce", key = anonKey) {
  const auth = { flowType, storage: memory(), persistSession: true, autoRefreshToken: false, detectSessionInUrl: false }
  const made = createClient(url, key, { auth, realtime: { transport: WebSocket } }).auth
  watch("", made, MORE)
  watch("mfa.", made.mfa)
  watch("passkey.", made.passkey)
  return made
}
const service = createClient(url, serviceKey, {
  auth: { persistSession: false, autoRefreshToken: false },
  realtime: { transport: WebSocket },
}).auth.admin
watch("admin.", service, ADMIN)
watch("admin.mfa.", service.mfa)
watch("admin.passkey.", service.passkey)

async function person(fields) {
  const answer = await fetch(`${origin}/test/person`, { method: "POST", body: JSON.stringify(fields) })
  assert.equal(answer.status, 200)
}
async function idToken(nonce) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(nonce ?? ""))
  const hashed = nonce ? [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("") : ""
  return (await fetch(`${origin}/test/id_token?nonce=${hashed}`)).text()
}
/** An address of this run alone. */
const mail = (name) => `${name}-${run}@example.com`
let numbers = 0
async function signedUp(auth) {
  numbers += 1
  const email = mail(`u${numbers}`)
  const made = await data(auth.signUp({ email, password: "correct horse 1" }))
  assert.ok(made.session, "the server must confirm by itself")
  return { email, ...made }
}

/** The code of a TOTP secret, `steps` of 30 s from now. */
async function code(secret, steps = 0) {
  const bits = [...secret].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("")
  const raw = Uint8Array.from(bits.match(/.{8}/g), (byte) => parseInt(byte, 2))
  const counter = new DataView(new ArrayBuffer(8))
  counter.setBigUint64(0, BigInt(Math.floor(Date.now() / 30000) + steps))
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-1" }, false, ["sign"])
  const mac = new DataView(await crypto.subtle.sign("HMAC", key, counter.buffer))
  return String((mac.getUint32(mac.getUint8(19) & 15) & 0x7fffffff) % 1e6).padStart(6, "0")
}

await check("OAuth with PKCE", async () => {
  await person({ sub: `oauth-${run}`, email: mail("oauth") })
  const auth = client()
  const begun = await data(auth.signInWithOAuth({
    provider: "keycloak", options: { redirectTo, scopes: "calendar", skipBrowserRedirect: true },
  })) // prettier-ignore
  const back = await visit(begun.url, redirectTo)
  const { session, user } = await data(auth.exchangeCodeForSession(back.searchParams.get("code")))
  assert.equal(session.provider_token, "provider-access")
  assert.equal(user.app_metadata.provider, "keycloak")
  assert.equal((await refusal(auth.exchangeCodeForSession(back.searchParams.get("code")))).code, "pkce_code_verifier_not_found")
  const { data: me } = await auth.getUser()
  assert.equal(me.user.id, user.id)
})
await check("OAuth without PKCE", async () => {
  const auth = client("implicit")
  const begun = await data(auth.signInWithOAuth({ provider: "github", options: { redirectTo, skipBrowserRedirect: true } }))
  const told = new URLSearchParams((await visit(begun.url, redirectTo)).hash.slice(1))
  const { user } = await data(
    auth.setSession({ access_token: told.get("access_token"), refresh_token: told.get("refresh_token") }),
  )
  assert.ok(user.identities.some((one) => one.provider === "github"))
})
await check("ID tokens", async () => {
  await person({ sub: `token-1-${run}`, email: mail("token") })
  const auth = client()
  const nonce = "n".repeat(20)
  const { user } = await data(auth.signInWithIdToken({ provider: "keycloak", token: await idToken(nonce), nonce }))
  assert.equal(user.email, mail("token"))
  assert.match((await refusal(auth.signInWithIdToken({ provider: "keycloak", token: "a.b.c" }))).message, /Bad ID token/)
  assert.match((await refusal(auth.signInWithIdToken({ provider: "google", token: "a.b.c" }))).message, /not enabled/)
})
await check("what is off says so", async () => {
  const auth = client()
  assert.equal((await refusal(auth.signInWithSSO({ domain: "example.com" }))).code, "saml_provider_disabled")
  const web3 = auth.signInWithWeb3({ chain: "solana", message: "x".repeat(30), signature: new Uint8Array(64) })
  assert.equal((await refusal(web3)).code, "web3_provider_disabled")
  await signedUp(auth)
  assert.equal((await refusal(auth.mfa.enroll({ factorType: "phone", phone: "+4912345678" }))).code, "mfa_phone_enroll_not_enabled")
})
await check("identities", async () => {
  await person({ sub: `link-1-${run}`, email: mail("linked") })
  const auth = client()
  await signedUp(auth)
  const { url: begun } = await data(
    auth.linkIdentity({ provider: "keycloak", options: { redirectTo, skipBrowserRedirect: true } }),
  )
  const back = await visit(begun, redirectTo)
  await data(auth.exchangeCodeForSession(back.searchParams.get("code")))
  const { identities } = await data(auth.getUserIdentities())
  assert.deepEqual(identities.map((one) => one.provider).sort(), ["email", "keycloak"])
  await data(auth.unlinkIdentity(identities.find((one) => one.provider === "keycloak")))
  assert.equal((await data(auth.getUserIdentities())).identities.length, 1)
  assert.equal((await refusal(auth.unlinkIdentity(identities[0]))).code, "single_identity_not_deletable")
  await person({ sub: `link-2-${run}`, email: mail("linked2") })
  const linked = await data(auth.linkIdentity({ provider: "keycloak", token: await idToken() }))
  assert.equal(linked.user.identities.length, 2)
})
await check("second factor", async () => {
  const auth = client()
  const { user } = await signedUp(auth)
  const factor = await data(auth.mfa.enroll({ factorType: "totp", friendlyName: "phone", issuer: "Shop" }))
  assert.match(factor.totp.qr_code, /^data:image\/svg\+xml/)
  assert.equal((await data(auth.mfa.getAuthenticatorAssuranceLevel())).nextLevel, "aal1")
  const asked = await data(auth.mfa.challenge({ factorId: factor.id }))
  const wrong = await refusal(auth.mfa.verify({ factorId: factor.id, challengeId: asked.id, code: "0" }))
  assert.equal(wrong.message, "Invalid TOTP code entered")
  const first = { factorId: factor.id, challengeId: asked.id, code: await code(factor.totp.secret, -1) }
  assert.equal((await data(auth.mfa.verify(first))).user.id, user.id)
  assert.equal((await data(auth.mfa.getAuthenticatorAssuranceLevel())).currentLevel, "aal2")
  assert.equal((await data(auth.mfa.listFactors())).totp.length, 1)
  await data(auth.refreshSession())
  assert.equal((await data(auth.mfa.getAuthenticatorAssuranceLevel())).currentLevel, "aal2")
  await data(auth.mfa.challengeAndVerify({ factorId: factor.id, code: await code(factor.totp.secret, 1) }))
  const { factors } = await data(service.mfa.listFactors({ userId: user.id }))
  assert.deepEqual(factors.map((one) => [one.id, one.status]), [[factor.id, "verified"]])
  assert.equal((await data(auth.mfa.unenroll({ factorId: factor.id }))).id, factor.id)
  const other = await data(auth.mfa.enroll({ factorType: "totp", friendlyName: "other" }))
  const deleted = await data(service.mfa.deleteFactor({ userId: user.id, id: other.id }))
  assert.equal((deleted.data ?? deleted).id, other.id) // this client wraps the answer once more
})
await check("passkeys step by step", async () => {
  const auth = client()
  const { user, email } = await signedUp(auth)
  const device = await newDevice(site)
  const asked = await data(auth.passkey.startRegistration())
  const made = await data(
    auth.passkey.verifyRegistration({ challengeId: asked.challenge_id, credential: await device.create(asked.options) }),
  )
  assert.equal((await data(auth.passkey.update({ passkeyId: made.id, friendlyName: "mine" }))).friendly_name, "mine")
  const fresh = client()
  const begun = await data(fresh.passkey.startAuthentication())
  const done = { challengeId: begun.challenge_id, credential: await device.get(begun.options) }
  assert.equal((await data(fresh.passkey.verifyAuthentication(done))).user.email, email)
  assert.equal((await refusal(fresh.passkey.verifyAuthentication(done))).code, "webauthn_challenge_not_found")
  const [listed] = await data(auth.passkey.list())
  assert.ok(listed.last_used_at)
  assert.equal((await data(service.passkey.listPasskeys({ userId: user.id })))[0].id, made.id)
  await data(auth.passkey.delete({ passkeyId: made.id }))
  const again = await data(auth.passkey.startRegistration())
  const second = await data(
    auth.passkey.verifyRegistration({ challengeId: again.challenge_id, credential: await device.create(again.options) }),
  )
  await data(service.passkey.deletePasskey({ userId: user.id, passkeyId: second.id }))
  assert.deepEqual(await data(auth.passkey.list()), [])
})
await check("passkeys as a page uses them", async () => {
  const auth = client()
  const fresh = client()
  const { email } = await signedUp(auth)
  const device = await newDevice(site)
  await device.held(() => data(auth.registerPasskey()))
  assert.equal((await device.held(() => data(fresh.signInWithPasskey()))).user.email, email)
})
await check("admin: users", async () => {
  const { user } = await data(
    service.createUser({ email: mail("made"), password: "correct horse 1", email_confirm: true, user_metadata: { a: 1 } }),
  )
  assert.equal((await data(service.getUserById(user.id))).user.user_metadata.a, 1)
  const changed = await data(service.updateUserById(user.id, { app_metadata: { plan: "pro" }, ban_duration: "1h" }))
  assert.equal(changed.user.app_metadata.plan, "pro")
  assert.ok(changed.user.banned_until)
  const page = await data(service.listUsers({ page: 1, perPage: 2 }))
  assert.equal(page.users.length, 2)
  assert.equal(page.nextPage, 2)
  assert.ok(page.total >= 5 && page.lastPage >= 3)
  assert.match((await refusal(service.listUsers({ page: -1 }))).message, /Pagination/)
  await data(service.deleteUser(user.id, true))
  assert.equal((await refusal(service.getUserById(user.id))).code, "user_not_found")
  const second = await data(service.createUser({ email: mail("made") }))
  await data(service.deleteUser(second.user.id))
  assert.equal((await refusal(service.createUser({ email: "x" }))).code, "validation_failed")
})
await check("admin: links, invitations, signing out", async () => {
  const { user } = await data(service.inviteUserByEmail(mail("invited"), { data: { team: "x" }, redirectTo }))
  assert.ok(user.invited_at)
  for (const type of ["signup", "magiclink", "recovery", "invite"]) {
    const email = type === "invite" ? mail("invited") : mail("linked-by-mail")
    const link = await data(service.generateLink({ type, email, password: "correct horse 1", options: { redirectTo } }))
    assert.equal(link.properties.verification_type, type)
    const auth = client()
    const verified = await data(auth.verifyOtp({ type: type === "signup" ? "signup" : type, token_hash: link.properties.hashed_token }))
    assert.equal(verified.user.email, email)
  }
  for (const type of ["email_change_current", "email_change_new"]) {
    const link = await data(service.generateLink({ type, email: mail("invited"), newEmail: mail("newer") }))
    assert.equal(link.user.new_email, mail("newer"))
  }
  const auth = client()
  const { session } = await signedUp(auth)
  await data(service.signOut(session.access_token))
  assert.equal((await refusal(auth.getUser(session.access_token))).name, "AuthSessionMissingError")
})

// What the installed client has and the server does not offer; docs/limits.md says so.
report(/^(mfa\.(webauthn|recoveryCodes))/)
