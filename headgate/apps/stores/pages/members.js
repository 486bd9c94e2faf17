// Who belongs to a brand: owners invite, change and remove; others see what they are, and may leave. The holder of an
// invited address accepts or declines here. Every rule is the database's; this page shows what it answers.
import { html, useState } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Badge, Empty, Failure } from "../../static/ui.js";
import { Bones, Confirm, Field, Wrong, act } from "../../static/widgets.js";
import { ago, until } from "../../static/format.js";
import { since } from "./brand.js";

const ROLES = [["viewer", "Viewer", "sees the brand's pages"], ["admin", "Admin", "also connects, syncs and disconnects shops"], ["owner", "Owner", "also decides who belongs to the brand"]];
const rpc = (name, args) => ask(client.rpc(name, args));

/** What the reader's address is invited to; asked beside the brands, so that the page shows both at once. */
export function useInvitations(who) {
  return useAsk(who.user ? `invitations ${who.user.id}` : null, () => rpc("stores_my_invitations"), { every: 15000 });
}

export function Invitations({ list, done }) {
  const answer = (one, accept) => act(async () => {
    await rpc("stores_answer_invitation", { p_brand: one.brand_id, p_accept: accept });
    await done();
  }, accept ? `You belong to ${one.brand} now.` : "Declined.");
  return list.map((one) => html`<section class="card" key=${one.brand_id} aria-label=${`Invitation to ${one.brand}`}><div class="card-head" style=${{ flexWrap: "wrap", marginBottom: 0 }}><div style=${{ flex: "1 1 240px", minWidth: 0 }}><h2>${one.brand} invites you</h2>
    <p>As ${one.role}${one.invited_by ? html`, by <span style=${{ overflowWrap: "anywhere" }}>${one.invited_by}</span>` : ""}; it ends ${until(one.expires_at)}.</p></div>
    <div class="row"><button class="button main" type="button" onClick=${() => answer(one, true)}>Accept</button><button class="button" type="button" onClick=${() => answer(one, false)}>Decline</button></div></div></section>`);
}

/** The members of the brands that the reader owns, and the way out of the others. */
export function Members({ who, brands, done }) {
  const owned = brands.filter((brand) => brand.role === "owner");
  const [chosen, choose] = useState(owned[0] ? owned[0].id : "");
  const brand = owned.find((one) => one.id === chosen) || owned[0];
  return html`${brand && html`<${Owned} key=${brand.id} who=${who} brand=${brand} owned=${owned} choose=${choose} done=${done} />`}
    ${brands.filter((one) => one.role !== "owner").map((one) => html`<${Mine} key=${one.id} who=${who} brand=${one} done=${done} />`)}`;
}

function Mine({ who, brand, done }) {
  const [leaving, leave] = useState(false);
  return html`<section class="card"><div class="card-head" style=${{ marginBottom: 0 }}><div><h2>${brand.name}</h2><p>You are ${brand.role === "admin" ? "an admin" : "a viewer"} of this brand. Its owners decide who belongs to it.</p></div><button class="button small" type="button" onClick=${() => leave(true)}>Leave</button></div>
    ${leaving && html`<${Confirm} title=${`Leave ${brand.name}?`} sure="Leave" onSure=${async () => { await rpc("stores_remove_member", { p_brand: brand.id, p_user: who.user.id }); await done(); }} onClose=${() => leave(false)}><p>You will not see its shops any more. An owner can invite you again.</p><//>`}</section>`;
}

function Owned({ who, brand, owned, choose, done }) {
  const read = useAsk(`members ${brand.id}`, () => rpc("stores_members", { p_brand: brand.id }), { every: 15000 });
  const [parting, part] = useState(null);
  const remove = async () => {
    if (parting.user_id) await rpc("stores_remove_member", { p_brand: brand.id, p_user: parting.user_id });
    else await rpc("stores_withdraw_invitation", { p_brand: brand.id, p_email: parting.email });
    await (parting.user_id === who.user.id ? done() : read.reload());
  };
  const alone = read.data && read.data.length < 2;
  return html`<section class="card flush" aria-label="Members"><div class="card-head" style=${{ flexWrap: "wrap" }}><div style=${{ flex: "1 1 240px" }}><h2>Members of ${brand.name}</h2><p>${ROLES.map(([, name, may]) => `${name}: ${may}`).join(". ")}.</p></div>
      ${owned.length > 1 && html`<label class="field" style=${{ flex: "0 1 200px" }}>Brand<select class="input" value=${brand.id} onChange=${(e) => choose(e.target.value)}>${owned.map((one) => html`<option key=${one.id} value=${one.id}>${one.name}</option>`)}</select></label>`}</div>
    <div class="card-head" style=${{ display: "block", paddingTop: 0 }}><${Invite} brand=${brand} done=${read.reload} /></div>
    ${!read.data ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${2} height=${52} />`)
      : html`<div class="scroll" tabindex="0" role="region" aria-label=${`Members of ${brand.name}`}><table><thead><tr><th scope="col">Who</th><th scope="col" class="num">Role</th></tr></thead>
        <tbody>${read.data.map((one) => html`<${Row} key=${one.user_id || one.email} one=${one} me=${who.user.id} brand=${brand} done=${one.user_id === who.user.id ? done : read.reload} reload=${read.reload} part=${part} />`)}</tbody></table></div>
        ${alone && html`<${Empty} icon="page" title="Nobody else belongs to this brand">Invite an address above: its holder sees the brand's shops after accepting.<//>`}`}
    ${parting && html`<${Confirm} title=${parting.user_id === who.user.id ? `Leave ${brand.name}?` : parting.user_id ? `Remove ${parting.email || "this member"}?` : `Withdraw the invitation of ${parting.email}?`} sure=${parting.user_id === who.user.id ? "Leave" : parting.user_id ? "Remove" : "Withdraw"} onSure=${remove} onClose=${() => part(null)}>
      <p>${parting.user_id === who.user.id ? "You will not see its shops any more." : parting.user_id ? "They will not see the brand's shops any more. You can invite them again." : "It can no longer be accepted. You can invite the address again."}</p><//>`}</section>`;
}

function Row({ one, me, brand, done, reload, part }) {
  const name = one.email || "account deleted";
  const away = one.user_id === me ? "Leave" : one.user_id ? "Remove" : "Withdraw";
  const change = (role) => act(async () => {
    try { await rpc("stores_set_member_role", { p_brand: brand.id, p_user: one.user_id, p_role: role }); await done(); } catch (error) { await reload(); throw error; }
  }, `${name}: ${role}.`);
  const renew = () => act(async () => { await rpc("stores_invite", { p_brand: brand.id, p_email: one.email, p_role: one.role }); await reload(); }, "Good for another 14 days.");
  const about = one.state === "invited" ? html`<${Badge} tone="warn">invited<//> ends ${until(one.expires_at)}` : one.state === "expired" ? html`<${Badge}>expired<//> was invited ${ago(since(one.since))}` : one.state === "gone" ? "cannot sign in any more" : `joined ${ago(since(one.since))}`;
  return html`<tr><td style=${{ width: "60%", overflowWrap: "anywhere", whiteSpace: "normal" }}><strong>${name}</strong>${one.user_id === me ? html` <${Badge}>you<//>` : ""}<span class="sub">${about}</span></td>
    <td class="num" style=${{ whiteSpace: "normal" }}><span class="row" style=${{ justifyContent: "flex-end", flexWrap: "wrap" }}>${one.state === "member" ? html`<select class="input" style=${{ width: "112px" }} aria-label=${`Role of ${name}`} value=${one.role} onChange=${(e) => change(e.target.value)}>${ROLES.map(([role, text]) => html`<option key=${role} value=${role}>${text}</option>`)}</select>` : html`<span class="quiet">${one.role}</span>`}
      ${one.state === "expired" && html`<button class="button small" type="button" onClick=${renew} aria-label=${`Again invite ${name}`}>Again</button>`}<button class="button small" type="button" onClick=${() => part(one)} aria-label=${`${away} ${one.user_id === me ? brand.name : name}`}>${away}</button></span></td></tr>`;
}

function Invite({ brand, done }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("viewer");
  const [state, set] = useState({ busy: false, error: null, told: "" });
  const invite = async (event) => {
    event.preventDefault();
    set({ busy: true, error: null, told: "" });
    try {
      const [made] = await rpc("stores_invite", { p_brand: brand.id, p_email: email, p_role: role });
      await done();
      setEmail("");
      set({ busy: false, error: null, told: made.email });
    } catch (error) { set({ busy: false, error, told: "" }); }
  };
  return html`<form class="filters" style=${{ marginBottom: 0 }} onSubmit=${invite}><${Field} wide label="Address" type="email" value=${email} required maxlength="320" placeholder="name@example.com" autocomplete="off" onInput=${(e) => setEmail(e.target.value)} />
      <label class="field">As<select class="input" value=${role} onChange=${(e) => setRole(e.target.value)}>${ROLES.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select></label>
      <button class="button" disabled=${state.busy || !email.trim()}>Invite</button></form>${state.error && html`<div style=${{ marginTop: "10px" }}><${Wrong} error=${state.error} /></div>`}
    <p class="quiet small" role="status" style=${{ marginTop: "8px" }}>${state.told ? html`<strong style=${{ overflowWrap: "anywhere" }}>${state.told}</strong> is invited. ` : ""}No letter is sent: tell them to sign in or sign up here with that address, and to open this page.</p>`;
}
