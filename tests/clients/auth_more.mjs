// Every method of supabase-js's auth that is not plain sign-in: providers, PKCE, ID tokens, identities, second factors,
// passkeys, administration. Prints a table of methods at the end and exits with 1 if a check failed or a method was
// never called.
import assert from "node:assert/strict"
import { createHash, createHmac, generateKeyPairSync, randomBytes, sign } from "node:crypto"
import { createClient } from "@supabase/supabase-js"
import WebSocket from "ws"

const [url, anonKey, serviceKey, origin, redirectTo] = process.argv.slice(2)
const methods = new Map()
let inside = new Set()

/** Count the calls of functions of an object under `prefix`. */
function watch(prefix, object, names) {
  for (const name of names ?? Object.keys(object).filter((key) => typeof object[key] === "function")) {
    const original = object[name]
    assert.equal(typeof original, "function", `${prefix}${name}`)
    const label = prefix + name
    if (!methods.has(label)) methods.set(label, { calls: 0, passed: 0, failed: 0 })
    object[name] = (...args) => {
      inside.add(label)
      methods.get(label).calls += 1
      return original.apply(object, args)
    }
  }
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

let failed = 0
async function check(name, run) {
  inside = new Set()
  let passed = true
  try {
    await run()
  } catch (error) {
    passed = false
    failed += 1
    console.log(`not ok ${name}: ${error.stack.split("\n").slice(0, 3).join(" ")}`)
  }
  for (const used of inside) methods.get(used)[passed ? "passed" : "failed"] += 1
  if (passed) console.log(`ok ${name}`)
}
async function data(query) {
  const reply = await query
  assert.equal(reply.error, null, `${reply.error?.message} ${JSON.stringify(reply.error)}`)
  return reply.data
}
async function refusal(query) {
  const reply = await query
  assert.notEqual(reply.error, null, `no error, but ${JSON.stringify(reply.data)}`)
  return reply.error
}

/** Follow redirects by hand until the application's own page; that address. */
async function browse(address) {
  for (let hops = 0; hops < 5; hops += 1) {
    if (address.startsWith(redirectTo)) return new URL(address)
    const answer = await fetch(address, { redirect: "manual" })
    assert.equal(answer.status, 302, `${address}: ${await answer.text()}`)
    address = answer.headers.get("location")
  }
  throw new Error("too many redirects")
}
async function person(fields) {
  const answer = await fetch(`${origin}/test/person`, { method: "POST", body: JSON.stringify(fields) })
  assert.equal(answer.status, 200)
}
async function idToken(nonce) {
  const hashed = nonce ? createHash("sha256").update(nonce).digest("hex") : ""
  return (await fetch(`${origin}/test/id_token?nonce=${hashed}`)).text()
}
let numbers = 0
async function signedUp(auth) {
  numbers += 1
  const email = `u${numbers}@example.com`
  const made = await data(auth.signUp({ email, password: "correct horse 1" }))
  assert.ok(made.session, "the server must confirm by itself")
  return { email, ...made }
}

function code(secret, steps = 0) {
  const bits = [...secret].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("")
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + steps))
  const mac = createHmac("sha1", key).update(counter).digest()
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, "0")
}

/** A passkey authenticator: ES256, attestation none. */
class Authenticator {
  constructor(page) {
    this.page = page
    this.id = randomBytes(32)
    this.keys = generateKeyPairSync("ec", { namedCurve: "P-256" })
    this.count = 0
  }
  told(type, challenge) {
    return Buffer.from(JSON.stringify({ type, challenge, origin: this.page, crossOrigin: false }))
  }
  state(rpId, flags) {
    const count = Buffer.alloc(4)
    count.writeUInt32BE(this.count)
    return Buffer.concat([createHash("sha256").update(rpId).digest(), Buffer.from([flags]), count])
  }
  shown(response) {
    const id = this.id.toString("base64url")
    return { id, rawId: id, type: "public-key", clientExtensionResults: {}, response }
  }
  create(options) {
    this.user = options.user.id
    const { x, y } = this.keys.publicKey.export({ format: "jwk" })
    const cose = Buffer.concat([
      Buffer.from("a5010203262001215820", "hex"), Buffer.from(x, "base64url"),
      Buffer.from("225820", "hex"), Buffer.from(y, "base64url"),
    ]) // prettier-ignore
    const size = Buffer.from([0, this.id.length])
    const authData = Buffer.concat([this.state(options.rp.id, 0x5d), Buffer.alloc(16), size, this.id, cose])
    const length = Buffer.from([0x58, authData.length])
    const head = Buffer.from("a363666d74646e6f6e656761747453746d74a0686175746844617461", "hex")
    return this.shown({
      clientDataJSON: this.told("webauthn.create", options.challenge).toString("base64url"),
      attestationObject: Buffer.concat([head, length, authData]).toString("base64url"),
      transports: ["internal"],
    })
  }
  get(options) {
    this.count += 1
    const client = this.told("webauthn.get", options.challenge)
    const authData = this.state(options.rpId, 0x1d)
    const signed = Buffer.concat([authData, createHash("sha256").update(client).digest()])
    return this.shown({
      clientDataJSON: client.toString("base64url"), authenticatorData: authData.toString("base64url"),
      signature: sign("sha256", signed, this.keys.privateKey).toString("base64url"), userHandle: this.user,
    }) // prettier-ignore
  }
}
/** What a browser has, for the two methods that run a whole ceremony. */
async function inBrowser(device, run) {
  class PublicKeyCredential {
    constructor(json) {
      this.json = json
    }
    toJSON() {
      return this.json
    }
    static parseCreationOptionsFromJSON(options) {
      return options
    }
    static parseRequestOptionsFromJSON(options) {
      return options
    }
  }
  const credentials = {
    create: async ({ publicKey }) => new PublicKeyCredential(device.create(publicKey)),
    get: async ({ publicKey }) => new PublicKeyCredential(device.get(publicKey)),
  }
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator")
  Object.defineProperty(globalThis, "navigator", { value: { credentials }, configurable: true })
  Object.assign(globalThis, { PublicKeyCredential, window: { PublicKeyCredential }, document: {} })
  try {
    return await run()
  } finally {
    delete globalThis.window
    delete globalThis.document
    delete globalThis.PublicKeyCredential
    if (before) Object.defineProperty(globalThis, "navigator", before)
    else delete globalThis.navigator
  }
}

await check("OAuth with PKCE", async () => {
  const auth = client()
  const begun = await data(auth.signInWithOAuth({
    provider: "keycloak", options: { redirectTo, scopes: "calendar", skipBrowserRedirect: true },
  })) // prettier-ignore
  const back = await browse(begun.url)
  const { session, user } = await data(auth.exchangeCodeForSession(back.searchParams.get("code")))
  assert.equal(session.provider_token, "provider-access")
  assert.equal(user.app_metadata.provider, "keycloak")
  assert.equal((await refusal(auth.exchangeCodeForSession(back.searchParams.get("code")))).code, "pkce_code_verifier_not_found")
  const { data: me } = await auth.getUser()
  assert.equal(me.user.id, user.id)
})
await check("OAuth without PKCE", async () => {
  const auth = client("implicit")
  const begun = await data(auth.signInWithOAuth({ provider: "github", options: { redirectTo } }))
  const told = new URLSearchParams((await browse(begun.url)).hash.slice(1))
  const { user } = await data(
    auth.setSession({ access_token: told.get("access_token"), refresh_token: told.get("refresh_token") }),
  )
  assert.ok(user.identities.some((one) => one.provider === "github"))
})
await check("ID tokens", async () => {
  await person({ sub: "token-1", email: "token@example.com" })
  const auth = client()
  const nonce = "n".repeat(20)
  const { user } = await data(auth.signInWithIdToken({ provider: "keycloak", token: await idToken(nonce), nonce }))
  assert.equal(user.email, "token@example.com")
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
  await person({ sub: "link-1", email: "linked@example.com" })
  const auth = client()
  await signedUp(auth)
  const { url: begun } = await data(
    auth.linkIdentity({ provider: "keycloak", options: { redirectTo, skipBrowserRedirect: true } }),
  )
  const back = await browse(begun)
  await data(auth.exchangeCodeForSession(back.searchParams.get("code")))
  const { identities } = await data(auth.getUserIdentities())
  assert.deepEqual(identities.map((one) => one.provider).sort(), ["email", "keycloak"])
  await data(auth.unlinkIdentity(identities.find((one) => one.provider === "keycloak")))
  assert.equal((await data(auth.getUserIdentities())).identities.length, 1)
  assert.equal((await refusal(auth.unlinkIdentity(identities[0]))).code, "single_identity_not_deletable")
  await person({ sub: "link-2", email: "linked2@example.com" })
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
  const first = { factorId: factor.id, challengeId: asked.id, code: code(factor.totp.secret, -1) }
  assert.equal((await data(auth.mfa.verify(first))).user.id, user.id)
  assert.equal((await data(auth.mfa.getAuthenticatorAssuranceLevel())).currentLevel, "aal2")
  assert.equal((await data(auth.mfa.listFactors())).totp.length, 1)
  await data(auth.refreshSession())
  assert.equal((await data(auth.mfa.getAuthenticatorAssuranceLevel())).currentLevel, "aal2")
  await data(auth.mfa.challengeAndVerify({ factorId: factor.id, code: code(factor.totp.secret, 1) }))
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
  const device = new Authenticator(redirectTo.split("/").slice(0, 3).join("/"))
  const asked = await data(auth.passkey.startRegistration())
  const made = await data(
    auth.passkey.verifyRegistration({ challengeId: asked.challenge_id, credential: device.create(asked.options) }),
  )
  assert.equal((await data(auth.passkey.update({ passkeyId: made.id, friendlyName: "mine" }))).friendly_name, "mine")
  const fresh = client()
  const begun = await data(fresh.passkey.startAuthentication())
  const done = { challengeId: begun.challenge_id, credential: device.get(begun.options) }
  assert.equal((await data(fresh.passkey.verifyAuthentication(done))).user.email, email)
  assert.equal((await refusal(fresh.passkey.verifyAuthentication(done))).code, "webauthn_challenge_not_found")
  const [listed] = await data(auth.passkey.list())
  assert.ok(listed.last_used_at)
  assert.equal((await data(service.passkey.listPasskeys({ userId: user.id })))[0].id, made.id)
  await data(auth.passkey.delete({ passkeyId: made.id }))
  const again = await data(auth.passkey.startRegistration())
  const second = await data(
    auth.passkey.verifyRegistration({ challengeId: again.challenge_id, credential: device.create(again.options) }),
  )
  await data(service.passkey.deletePasskey({ userId: user.id, passkeyId: second.id }))
  assert.deepEqual(await data(auth.passkey.list()), [])
})
await check("passkeys as a page uses them", async () => {
  const auth = client()
  const fresh = client()
  const { email } = await signedUp(auth)
  const device = new Authenticator(redirectTo.split("/").slice(0, 3).join("/"))
  await inBrowser(device, () => data(auth.registerPasskey()))
  assert.equal((await inBrowser(device, () => data(fresh.signInWithPasskey()))).user.email, email)
})
await check("admin: users", async () => {
  const { user } = await data(
    service.createUser({ email: "made@example.com", password: "correct horse 1", email_confirm: true, user_metadata: { a: 1 } }),
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
  const second = await data(service.createUser({ email: "made@example.com" }))
  await data(service.deleteUser(second.user.id))
  assert.equal((await refusal(service.createUser({ email: "x" }))).code, "validation_failed")
})
await check("admin: links, invitations, signing out", async () => {
  const { user } = await data(service.inviteUserByEmail("invited@example.com", { data: { team: "x" }, redirectTo }))
  assert.ok(user.invited_at)
  for (const type of ["signup", "magiclink", "recovery", "invite"]) {
    const email = type === "invite" ? "invited@example.com" : "linked-by-mail@example.com"
    const link = await data(service.generateLink({ type, email, password: "correct horse 1", options: { redirectTo } }))
    assert.equal(link.properties.verification_type, type)
    const auth = client()
    const verified = await data(auth.verifyOtp({ type: type === "signup" ? "signup" : type, token_hash: link.properties.hashed_token }))
    assert.equal(verified.user.email, email)
  }
  for (const type of ["email_change_current", "email_change_new"]) {
    const link = await data(service.generateLink({ type, email: "invited@example.com", newEmail: "newer@example.com" }))
    assert.equal(link.user.new_email, "newer@example.com")
  }
  const auth = client()
  const { session } = await signedUp(auth)
  await data(service.signOut(session.access_token))
  assert.equal((await refusal(auth.getUser(session.access_token))).name, "AuthSessionMissingError")
})

// What the installed client has and the server does not offer; docs/limits.md says so.
const NOT_OFFERED = /^(mfa\.(webauthn|recoveryCodes))/
console.log("\nmethod                              calls  passed  failed")
let passing = 0
const counted = [...methods].filter(([name]) => !NOT_OFFERED.test(name)).sort()
for (const [name, { calls, passed, failed: wrong }] of counted) {
  const verdict = calls === 0 ? "NEVER CALLED" : wrong || !passed ? "FAIL" : "pass"
  if (verdict === "pass") passing += 1
  console.log(`${name.padEnd(36)}${String(calls).padStart(5)}${String(passed).padStart(8)}${String(wrong).padStart(8)}  ${verdict}`)
}
console.log(`${passing} of ${counted.length} methods pass`)
process.exit(failed || passing !== counted.length ? 1 : 0)
