// Connecting shops: a brand, the shop's name, what is connected already, and who belongs to the brand.
import { html, useState } from "../../static/names.js";
import { Badge, Empty, Failure } from "../../static/ui.js";
import { Bones, Confirm, Field, Wrong, act } from "../../static/widgets.js";
import { ago, count } from "../../static/format.js";
import { SignIn, api, manages, since, useBrands } from "./brand.js";
import { Invitations, Members, useInvitations } from "./members.js";

const TONES = { connected: "good", error: "bad", disconnected: "", uninstalled: "warn", redacted: "" };
const REASONS = {
  BAD_STATE: "The approval was not begun in this browser, was used already, or took too long. Begin again here.",
  SHOP_TAKEN: "This shop is connected to another brand. Disconnect it there first.",
  UNAUTHORIZED: "Shopify's answer was not signed for this app. Is the client secret right?",
  VALIDATION_ERROR: "Shopify's answer was incomplete. Begin again here.",
};

export default function Connect({ who, query }) {
  const read = useBrands(who);
  const asked = useInvitations(who);
  const joined = async () => { await Promise.all([read.reload(), asked.reload()]); };
  const failed = query.get("error");
  return html`<div class="head"><div><h1>Shops</h1><p>Connect a Shopify shop to a brand; its sync begins at once.</p></div></div>
    ${failed && html`<div class="note bad" role="alert"><span>${REASONS[failed] || "The shop could not be connected. Try again; the server's log has the reason."} <code class="tiny">${failed}</code></span></div>`}
    ${!who.user ? html`<${SignIn} />` : !read.data || asked.data === null && !asked.error ? html`<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${6} />`}</div>`
      : html`<div class="stack"><${Invitations} list=${asked.data || []} done=${joined} />${read.data.brands.length ? html`<${Begin} key=${query.get("shop")} brands=${read.data.brands} shop=${query.get("shop") || ""} />` : html`<${NewBrand} first done=${read.reload} shop=${query.get("shop")} />`}
        ${read.data.brands.length > 0 && html`<${Connected} brands=${read.data.brands} shops=${read.data.shops} done=${read.reload} /><${Another} done=${read.reload} /><${Members} who=${who} brands=${read.data.brands} done=${read.reload} />`}</div>`}`;
}

function NewBrand({ done, first, shop }) {
  const [name, setName] = useState("");
  const [state, set] = useState({ busy: false, error: null });
  const make = async (event) => {
    event.preventDefault();
    set({ busy: true, error: null });
    try { await api("/api/stores/brands", { name }); await done(); setName(""); set({ busy: false, error: null }); } catch (error) { set({ busy: false, error }); }
  };
  return html`<section class="card"><div class="card-head"><div><h2>${first ? "First, a brand" : "Another brand"}</h2><p>A brand says who may see what, and may have several shops.${first ? ` Then connect ${shop || "its shop"}.` : ""}</p></div></div>
    <form class="filters" style=${{ marginBottom: 0 }} onSubmit=${make}><${Field} wide label="Name of the brand" value=${name} required maxlength="200" onInput=${(e) => setName(e.target.value)} />
      <button class=${`button ${first ? "main" : ""}`} disabled=${state.busy || !name.trim()}>Make the brand</button></form><${Wrong} error=${state.error} />
      ${first && html`<p class="quiet small" style=${{ marginTop: "12px" }}>To see a brand that is here already, ask one of its owners to invite your address; the invitation comes here.</p>`}</section>`;
}

/** For who has a brand, a second one is a rare wish. */
function Another({ done }) {
  const [open, show] = useState(false);
  return open ? html`<${NewBrand} done=${async () => { await done(); show(false); }} />` : html`<div><button class="button plain" type="button" onClick=${() => show(true)}>Make another brand</button></div>`;
}

function Begin({ brands, shop: given }) {
  const allowed = brands.filter((brand) => brand.role !== "viewer");
  const [brand, setBrand] = useState(allowed[0] ? allowed[0].id : "");
  const [shop, setShop] = useState(given);
  const [state, set] = useState({ busy: false, error: null });
  if (!allowed.length) return html`<section class="card"><${Empty} icon="lock" title="You may look, not connect">Owners and admins of a brand connect its shops.<//></section>`;
  const begin = async (event) => {
    event.preventDefault();
    set({ busy: true, error: null });
    try { location.assign((await api("/api/stores/connect", { brand_id: brand, shop })).url); } catch (error) { set({ busy: false, error }); }
  };
  return html`<section class="card"><div class="card-head"><div><h2>Connect a shop</h2><p>Write <code>name.myshopify.com</code>, or only the name. Shopify asks you to approve, then brings you back here.</p></div></div>
    <form class="filters" style=${{ marginBottom: 0 }} onSubmit=${begin}>${allowed.length > 1 && html`<label class="field">Brand<select class="input" value=${brand} onChange=${(e) => setBrand(e.target.value)}>${allowed.map((one) => html`<option key=${one.id} value=${one.id}>${one.name}</option>`)}</select></label>`}
      <${Field} wide label="Shop" value=${shop} required placeholder="name.myshopify.com" spellcheck="false" autocapitalize="off" autocomplete="off" onInput=${(e) => setShop(e.target.value)} />
      <button class="button main" disabled=${state.busy || !shop.trim()}>${state.busy ? "Going to Shopify" : "Connect"}</button></form><${Wrong} error=${state.error} /></section>`;
}

function Connected({ brands, shops, done }) {
  const [leaving, leave] = useState(null);
  if (!shops.length) return html`<section class="card"><${Empty} icon="page" title="No shop is connected yet">Write the shop's name above. To try it without one: <code>headgate stores simulate</code>.<//></section>`;
  return html`<section class="card flush"><div class="card-head"><h2>Connected shops</h2></div><div class="scroll" tabindex="0" role="region" aria-label="Connected shops"><table><thead><tr><th scope="col">Shop</th><th scope="col" class="wide-only">State</th><th scope="col" class="wide-only">Orders</th><th scope="col" class="wide-only">Webhooks</th><th scope="col" class="num"><span class="hidden">Actions</span></th></tr></thead>
    <tbody>${shops.map((shop) => html`<${Shop} key=${shop.id} shop=${shop} brand=${brands.find((one) => one.id === shop.brand_id)} may=${manages(shop, brands)} leave=${leave} />`)}</tbody></table></div>
    ${leaving && html`<${Confirm} title=${`Disconnect ${leaving.name || leaving.shop_domain}?`} sure="Disconnect" onSure=${async () => { await api(`/api/stores/connections/${leaving.id}/disconnect`); await done(); }} onClose=${() => leave(null)}>
      <p>The app is removed from the shop and its access is erased here. What was synced stays until Shopify asks for its erasure, 48 hours later.</p><//>`}</section>`;
}

function Coverage({ shop }) {
  const { orders, reason } = shop.coverage;
  if (orders === "all") return "all of them";
  if (orders === "60_days") return html`<${Badge} tone="warn">last 60 days<//>`;
  return reason || "–";
}

function Shop({ shop, brand, may, leave }) {
  const live = shop.state === "connected" || shop.state === "error";
  const state = html`<${Badge} tone=${TONES[shop.state]}>${shop.state}<//>${shop.error && html`<span class="sub">${shop.error}</span>`}`;
  const hooks = shop.webhooks.error ? html`<${Badge} tone="bad">failed<//><span class="sub">${shop.webhooks.error}</span>` : shop.webhooks.topics ? html`${shop.webhooks.refused ? html`<${Badge} tone="warn">${count(Object.keys(shop.webhooks.refused).length)} refused<//> of ` : ""}${count(shop.webhooks.topics)} topics<span class="sub">looked at ${ago(since(shop.webhooks.checked_at))}</span>` : "not looked at yet";
  const sync = () => act(() => api(`/api/stores/connections/${shop.id}/sync`), "A sync will begin in a moment.");
  return html`<tr><td style=${{ width: "44%" }}><strong>${shop.name || shop.shop_domain}</strong><span class="sub">${shop.shop_domain}</span><span class="sub">${brand ? `${brand.name}, ` : ""}since ${ago(since(shop.connected_at)).replace(" ago", "")}</span><span class="phone-only">${state}</span></td>
    <td class="wide-only">${state}</td><td class="wide-only"><${Coverage} shop=${shop} /></td><td class="wide-only">${hooks}</td>
    <td class="num">${may && live && html`<span class="row" style=${{ justifyContent: "flex-end" }}><button class="button small" type="button" onClick=${sync}>Sync now</button><button class="button small" type="button" onClick=${() => leave(shop)}>Disconnect</button></span>`}
      ${may && !live && shop.state !== "redacted" && html`<a class="button small" href=${`#/stores/connect?shop=${encodeURIComponent(shop.shop_domain)}`}>Connect again</a>`}</td></tr>`;
}
