// One's own account: who one is, a new password, the second factor, sessions.
import { html, useState } from "../names.js";
import { ask, claims, client, recovered, useAsk } from "../client.js";
import { Badge } from "../ui.js";
import { act, Confirm, Facts, Field, toast, Wrong } from "../widgets.js";
import { when } from "../format.js";

export default function Account({ who }) {
  const user = who.user;
  return html`<div class="head"><div><h1>Account</h1><p>${user.email || user.phone || "Anonymous user"}</p></div>
      <div class="row"><button class="button" type="button" onClick=${() => act(() => ask(client.auth.signOut({ scope: "others" })), "Signed out everywhere else")}>Sign out elsewhere</button>
      <button class="button" type="button" onClick=${() => client.auth.signOut({ scope: "local" }).then(() => { location.hash = "#/"; })}>Sign out</button></div></div>
    <div class="pairs"><section class="card"><div class="card-head"><h2>You</h2>${who.admin && html`<${Badge} tone="good">administrator<//>`}</div>
      <${Facts} items=${[["User id", html`<code class="code">${user.id}</code>`], ["Signed in by", (user.app_metadata.providers || []).join(", ")], ["Assurance", claims(who.session).aal === "aal2" ? "two factors" : "one factor"], ["Since", when(user.created_at)], ["Last sign-in", when(user.last_sign_in_at)]]} /></section>
    <section class="card"><div class="card-head"><h2>${who.recovering ? "Choose a new password" : "Password"}</h2></div><${NewPassword} /></section>
    <section class="card"><div class="card-head"><h2>Second factor</h2></div><${Factors} /></section></div>`;
}

function NewPassword() {
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    try {
      await ask(client.auth.updateUser({ password: new FormData(form).get("password") }));
      form.reset();
      recovered();
      setError(null);
      toast("The password is changed");
    } catch (failed) { setError(failed); }
  };
  return html`<form class="form" onSubmit=${submit}><${Wrong} error=${error} /><${Field} label="New password" name="password" type="password" minlength="6" autocomplete="new-password" required hint="At least 6 characters; a sentence is best." /><button class="button main">Change it</button></form>`;
}

function Factors() {
  const [fresh, setFresh] = useState(null);
  const [leaving, leave] = useState(null);
  const [error, setError] = useState(null);
  const read = useAsk("factors", async () => (await ask(client.auth.mfa.listFactors())).all);
  const start = () => act(async () => setFresh(await ask(client.auth.mfa.enroll({ factorType: "totp", friendlyName: `Console ${new Date().toISOString().slice(0, 16)}` }))));
  const confirm = async (event) => {
    event.preventDefault();
    try {
      await ask(client.auth.mfa.challengeAndVerify({ factorId: fresh.id, code: new FormData(event.target).get("code").trim() }));
      setFresh(null);
      setError(null);
      read.reload();
      toast("The second factor is set up");
    } catch (failed) { setError(failed); }
  };
  const verified = (read.data || []).filter((f) => f.status === "verified");
  if (fresh) return html`<form class="form" onSubmit=${confirm}><p class="small quiet">Scan this with an authenticator, then enter the code it shows.</p><${Wrong} error=${error} />
    <img src=${fresh.totp.qr_code} alt="The setup key as a QR code" width="180" height="180" style=${{ background: "#fff", borderRadius: "8px" }} /><p class="small">Or type: <code class="code" style=${{ overflowWrap: "anywhere" }}>${fresh.totp.secret}</code></p>
    <${Field} label="Code" name="code" inputmode="numeric" autocomplete="one-time-code" required /><div class="row"><button class="button main">Confirm</button><button class="button" type="button" onClick=${() => setFresh(null)}>Not now</button></div></form>`;
  return html`<${Wrong} error=${read.error} />${verified.length ? html`<ul>${verified.map((f) => html`<li class="line row spread" key=${f.id}><span>${f.friendly_name || f.factor_type}<span class="sub">since ${when(f.created_at)}</span></span><button class="button small" type="button" onClick=${() => leave(f)}>Remove</button></li>`)}</ul>`
    : html`<p class="small quiet" style=${{ marginBottom: "12px" }}>A code from an authenticator at each sign-in. Administrators should have one.</p>`}
    <button class="button" type="button" onClick=${start}>Set up an authenticator</button>
    ${leaving && html`<${Confirm} title="Remove the second factor?" sure="Remove it" onClose=${() => leave(null)} onSure=${async () => { await ask(client.auth.mfa.unenroll({ factorId: leaving.id })); read.reload(); }}><p>Signing in will take the password alone.</p><//>`}`;
}
