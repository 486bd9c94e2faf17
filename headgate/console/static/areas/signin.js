// Signing in: password, link by mail, a new account, another provider, the second factor, a forgotten password.
import { html, useEffect, useRef, useState } from "../names.js";
import { arrival, ask, client, useAuthSettings } from "../client.js";
import { Field, toast, Wrong } from "../widgets.js";
import { Bone } from "../ui.js";

const NAMES = { github: "GitHub", google: "Google", gitlab: "GitLab", azure: "Microsoft", apple: "Apple" };
const back = () => `${location.origin}${location.pathname}`;

/** Only pages of this console: an address from elsewhere is never followed. */
function target(query) {
  const to = query.get("to") || "";
  return /^\/[a-z0-9_\-/%.?=&]*$/i.test(to) && !to.startsWith("//") ? to : "/overview";
}

export default function SignIn({ query, who }) {
  const settings = useAuthSettings();
  const [way, setWay] = useState(query.get("way") || "password");
  const away = useRef(arrival.error).current;
  useEffect(() => { arrival.error = ""; }, []);  // told once
  useEffect(() => {
    if (!who.user || who.needsCode) return;
    if (away) toast(away, "bad");
    location.hash = `#${target(query)}`;
  }, [who.user, who.needsCode]);
  if (who.needsCode) return html`<${SecondFactor} who=${who} />`;
  if (!settings) return html`<div class="card signin" aria-busy="true" style=${{ minHeight: "430px" }}><h1>Sign in</h1><${Bone} h=${300} /></div>`;
  if (!("external" in settings)) return html`<div class="card signin" style=${{ minHeight: "430px" }}><h1>Sign in</h1><p class="quiet">This server answers no sign-in at <code>/auth/v1</code>.</p></div>`;
  const providers = Object.entries(settings.external).filter(([name, on]) => on && !["email", "phone", "anonymous_users", "passkeys", "saml", "web3_solana", "web3_ethereum"].includes(name));
  return html`<div class="card signin" style=${{ minHeight: "430px" }}>
    ${away && html`<${Wrong} error=${{ message: away }} />`}
    ${way === "password" ? html`<${Password} onWay=${setWay} />` : way === "link" ? html`<${Link} onWay=${setWay} />`
      : way === "new" ? html`<${SignUp} onWay=${setWay} />` : html`<${Forgotten} onWay=${setWay} />`}
    <div class="ways">${way === "password" ? html`${!settings.disable_signup && html`<button class="button plain small" type="button" onClick=${() => setWay("new")}>Create an account</button>`}
        <button class="button plain small" type="button" onClick=${() => setWay("link")}>Send me a link instead</button><button class="button plain small" type="button" onClick=${() => setWay("forgot")}>Forgotten password</button>`
      : html`<button class="button plain small" type="button" onClick=${() => setWay("password")}>Back to the password</button>`}</div>
    ${providers.length > 0 && html`<div class="form" style=${{ marginTop: "8px" }}><div class="or">or</div>${providers.map(([name]) => html`<button key=${name} class="button" type="button"
      onClick=${() => client.auth.signInWithOAuth({ provider: name, options: { redirectTo: back() } })}>Continue with ${NAMES[name] || name[0].toUpperCase() + name.slice(1)}</button>`)}</div>`}</div>`;
}

/** A form whose button waits for the answer and whose error stands above it. */
function Form({ title, text, button, onSubmit, children }) {
  const [state, set] = useState({ busy: false, error: null, said: "" });
  const submit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    set({ busy: true, error: null, said: "" });
    try { set({ busy: false, error: null, said: (await onSubmit(values)) || "" }); } catch (error) { set({ busy: false, error, said: "" }); }
  };
  return html`<h1>${title}</h1>${text && html`<p class="quiet">${text}</p>`}<form class="form" style=${{ marginTop: "14px" }} onSubmit=${submit}><${Wrong} error=${state.error} />
    ${state.said ? html`<div class="note good" role="status">${state.said}</div>` : null}${children}<button class="button main" disabled=${state.busy}>${button}</button></form>`;
}

function Password() {
  const go = async ({ email, password }) => { await ask(client.auth.signInWithPassword({ email, password })); };
  return html`<${Form} title="Sign in" button="Sign in" onSubmit=${go}><${Field} label="E-mail" name="email" type="email" autocomplete="username" required />
    <${Field} label="Password" name="password" type="password" autocomplete="current-password" required /><//>`;
}

function Link() {
  const go = async ({ email }) => {
    await ask(client.auth.signInWithOtp({ email, options: { emailRedirectTo: back(), shouldCreateUser: false } }));
    return `If ${email} has an account, a link is on its way.`;
  };
  return html`<${Form} title="Sign in by mail" text="The link works once, in this browser." button="Send the link" onSubmit=${go}><${Field} label="E-mail" name="email" type="email" autocomplete="username" required /><//>`;
}

function SignUp() {
  const go = async ({ email, password }) => {
    const { session } = await ask(client.auth.signUp({ email, password, options: { emailRedirectTo: back() } }));
    return session ? "" : `Confirm the address: a link is on its way to ${email}.`;
  };
  return html`<${Form} title="Create an account" button="Create the account" onSubmit=${go}><${Field} label="E-mail" name="email" type="email" autocomplete="username" required />
    <${Field} label="Password" name="password" type="password" autocomplete="new-password" minlength="6" required hint="At least 6 characters; a sentence is best." /><//>`;
}

function Forgotten() {
  const go = async ({ email }) => {
    await ask(client.auth.resetPasswordForEmail(email, { redirectTo: back() }));
    return `If ${email} has an account, a link to choose a new password is on its way.`;
  };
  return html`<${Form} title="Choose a new password" button="Send the link" onSubmit=${go}><${Field} label="E-mail" name="email" type="email" autocomplete="username" required /><//>`;
}

function SecondFactor({ who }) {
  const factor = who.user.factors.find((f) => f.status === "verified" && f.factor_type === "totp");
  const go = async ({ code }) => { await ask(client.auth.mfa.challengeAndVerify({ factorId: factor.id, code: code.trim() })); };
  return html`<div class="card signin" style=${{ minHeight: "430px" }}>${factor ? html`<${Form} title="Second factor" text="The code that your authenticator shows now." button="Confirm" onSubmit=${go}>
    <${Field} label="Code" name="code" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9 ]{6,8}" required /><//>`
    : html`<h1>Second factor</h1><p class="quiet">This account's second factor is not a code; sign in where it was set up.</p>`}
    <p style=${{ marginTop: "16px" }}><button class="button plain small" type="button" onClick=${() => client.auth.signOut({ scope: "local" })}>Sign out</button></p></div>`;
}
