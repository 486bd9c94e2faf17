// Accounts: find, make, ban, promote, sign out, delete; and whether a second factor is set up.
import { html, useEffect, useState } from "../names.js";
import { client, rpc, useAsk } from "../client.js";
import { Badge, Empty, Failure, Stale, useSettled } from "../ui.js";
import { act, Bones, Code, Confirm, Dialog, Facts, Field, Pager, toast, Wrong } from "../widgets.js";
import { ago, count, when } from "../format.js";

const STEP = 25;

export default function Users({ who }) {
  const [words, setWords] = useState("");
  const [page, setPage] = useState(0);
  const [open, setOpen] = useState(null);
  const [making, make] = useState(false);
  const search = useSettled(words.trim());
  useEffect(() => setPage(0), [search]);
  const read = useAsk(JSON.stringify(["users", search, page]), () => rpc("users", { search, row_limit: STEP, row_offset: page * STEP }), { every: 10000 });
  const shown = open && read.data && read.data.rows.find((u) => u.id === open);
  return html`<div class="head"><div><h1>Users</h1><p>${read.data ? `${count(read.data.total)} ${search ? "found" : "accounts"}` : "\u00a0"}</p></div><button class="button main" type="button" onClick=${() => make(true)}>New user</button></div>
    <div class="filters"><label class="field wide">Address, number or id<input class="input" type="search" value=${words} placeholder="anybody" onInput=${(e) => setWords(e.target.value)} /></label></div>
    <div class="card flush">${!read.data ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${12} />`) : html`<${Stale} error=${read.error} retry=${read.reload} />
      ${!read.data.rows.length ? html`<${Empty} icon="users" title=${search ? "Nobody fits" : "No account yet"}>${search ? "Look for a part of the address, the number or the id." : "Make one with New user, or let people sign up."}<//>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Users"><table><thead><tr><th scope="col">User</th><th scope="col">State</th><th scope="col">Signs in by</th><th scope="col">Second factor</th><th class="num" scope="col">Sessions</th><th class="num" scope="col">Last sign-in</th><th class="num" scope="col">Since</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead><tbody>
      ${read.data.rows.map((u) => html`<tr key=${u.id}><td><span class="name">${label(u)}</span>${u.id === who.user.id && html` <span class="quiet small">you</span>`}<span class="sub">${u.id}</span></td><td class="nowrap"><${State} user=${u} /></td><td class="quiet">${u.providers.join(", ") || "–"}</td><td><${Factor} user=${u} /></td><td class="num">${count(u.sessions)}</td><td class="num quiet" title=${when(u.last_sign_in_at)}>${u.last_sign_in_at ? ago((Date.now() - Date.parse(u.last_sign_in_at)) / 1000) : "never"}</td><td class="num quiet">${when(u.created_at, null, "day")}</td>
        <td class="num"><button class="button small" type="button" aria-label=${`Open ${label(u)}`} onClick=${() => setOpen(u.id)}>Open</button></td></tr>`)}</tbody></table></div>`}
      <${Pager} page=${page} size=${STEP} shown=${read.data.rows.length} total=${read.data.total} onPage=${setPage} />`}</div>
    ${making && html`<${Make} onClose=${() => make(false)} onDone=${() => { make(false); read.reload(); }} />`}
    ${shown && html`<${User} user=${shown} me=${who.user.id} onClose=${() => setOpen(null)} reload=${read.reload} />`}`;
}

const label = (u) => u.email || u.phone || "Anonymous user";

function State({ user: u }) {
  return html`${u.banned_until ? html`<${Badge} tone="bad">banned<//>` : u.is_anonymous ? html`<${Badge}>anonymous<//>` : u.confirmed_at ? html`<${Badge} tone="good">confirmed<//>` : html`<${Badge} tone="warn">${u.invited_at ? "invited" : "unconfirmed"}<//>`} ${u.admin && html`<${Badge} tone="run">admin<//>`}`;
}

function Factor({ user: u }) {
  const on = u.factors.filter((f) => f.status === "verified");
  return on.length ? html`<${Badge} tone="good">${[...new Set(on.map((f) => f.type))].join(", ")}<//>` : html`<span class="quiet">none</span>`;
}

/** The owner of the address chooses the password: a recovery mail follows the account. */
function Make({ onClose, onDone }) {
  const [state, set] = useState({ busy: false, error: null });
  const submit = async (event) => {
    event.preventDefault();
    const values = new FormData(event.target);
    const email = values.get("email").trim();
    set({ busy: true, error: null });
    try {
      await rpc("create_user", { email, admin: values.get("admin") === "on" });
      if (values.get("mail") === "on") await invite(email);
      toast(`${email} has an account`);
      onDone();
    } catch (error) { set({ busy: false, error }); }
  };
  return html`<${Dialog} title="New user" onClose=${onClose}><form class="form" onSubmit=${submit}><${Wrong} error=${state.error} /><${Field} label="E-mail" name="email" type="email" required autocomplete="off" />
    <label class="row small"><input type="checkbox" name="mail" defaultChecked />Send a mail to choose a password</label><label class="row small"><input type="checkbox" name="admin" />Administrator of this console</label>
    <div class="dialog-foot"><button class="button" type="button" onClick=${onClose}>Cancel</button><button class="button main" disabled=${state.busy}>Make the account</button></div></form><//>`;
}

/** A mail with a link to choose a password; asked for by a client of its own, so that this session stays. */
async function invite(email) {
  const other = window.supabase.createClient(location.origin, client.supabaseKey, { auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false, storageKey: "headgate-invite" } });
  const { error } = await other.auth.resetPasswordForEmail(email, { redirectTo: `${location.origin}${location.pathname}` });
  if (error) toast(`The mail was not sent: ${error.message}`, "bad");
}

function User({ user: u, me, onClose, reload }) {
  const [sure, setSure] = useState(null);
  const change = (action, done) => act(() => rpc("change_user", { user_id: u.id, action }).then(reload), done);
  const name = label(u);
  const ours = u.id === me;
  if (sure) return html`<${Confirm} title=${sure.title} sure=${sure.word} onClose=${() => setSure(null)} onSure=${async () => { await rpc("change_user", { user_id: u.id, action: sure.action }); toast(sure.done); await reload(); if (sure.action === "delete") onClose(); }}><p>${sure.text}</p><//>`;
  return html`<${Dialog} title=${name} onClose=${onClose} wide><div class="row" style=${{ marginBottom: "12px" }}><${State} user=${u} /><${Factor} user=${u} /></div>
    <${Facts} items=${[["Id", html`<code class="code">${u.id}</code>`], ["E-mail", u.email], ["Phone", u.phone], ["Signs in by", u.providers.join(", ")], ["Password", u.has_password ? "set" : "not set"], ["Sessions", count(u.sessions)], ["Since", when(u.created_at)], ["Last sign-in", u.last_sign_in_at ? when(u.last_sign_in_at) : "never"], u.banned_until && ["Banned until", when(u.banned_until)]]} />
    <h3 style=${{ margin: "14px 0 6px" }}>Metadata</h3><${Code} label="Metadata" text=${JSON.stringify({ app_metadata: u.app_metadata, user_metadata: u.user_metadata }, null, 2)} />
    <div class="dialog-foot">${u.email && html`<button class="button" type="button" onClick=${() => act(() => invite(u.email), "The mail is on its way")}>Send a password mail</button>`}${!u.confirmed_at && u.email && html`<button class="button" type="button" onClick=${() => change("confirm", `${name} is confirmed`)}>Confirm</button>`}
      ${u.sessions > 0 && html`<button class="button" type="button" onClick=${() => change("sign_out", `${name} is signed out`)}>Sign out</button>`}
      ${u.factors.length > 0 && html`<button class="button" type="button" onClick=${() => setSure({ action: "drop_factors", title: "Remove the second factors?", word: "Remove them", done: "The second factors are removed", text: `${name} signs in with the first factor alone until a new one is set up.` })}>Remove second factors</button>`}
      ${!ours && (u.admin ? html`<button class="button" type="button" onClick=${() => change("drop_admin", `${name} is no longer an administrator`)}>Take admin away</button>` : !u.is_anonymous && html`<button class="button" type="button" onClick=${() => setSure({ action: "make_admin", title: "Make an administrator?", word: "Make administrator", done: `${name} is an administrator`, text: `${name} will see and change everything in this console, data and accounts included.` })}>Make admin</button>`)}
      ${!ours && (u.banned_until ? html`<button class="button" type="button" onClick=${() => change("unban", `${name} may sign in again`)}>Lift the ban</button>` : html`<button class="button" type="button" onClick=${() => setSure({ action: "ban", title: "Ban this user?", word: "Ban", done: `${name} is banned`, text: `${name} is signed out everywhere and cannot sign in until the ban is lifted.` })}>Ban</button>`)}
      ${!ours && html`<button class="button danger" type="button" onClick=${() => setSure({ action: "delete", title: "Delete this user?", word: "Delete", done: `${name} is deleted`, text: `The account of ${name} goes, with whatever rows refer to it on delete cascade. This cannot be taken back.` })}>Delete</button>`}</div><//>`;
}
