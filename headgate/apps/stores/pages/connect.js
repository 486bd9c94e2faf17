// Connecting shops: a brand, the shop's name, and what is connected already.
import { html, useState } from "../../static/names.js";
import { Badge, Empty, Failure } from "../../static/ui.js";
import { Bones, Confirm, Field, Wrong, act } from "../../static/widgets.js";
import { ago } from "../../static/format.js";
import { SignIn, api, since, useBrands } from "./brand.js";

const TONES = { connected: "good", error: "bad", disconnected: "", uninstalled: "warn", redacted: "" };
const REASONS = {
  BAD_STATE: "The approval was not begun in this browser, was used already, or took too long. Begin again here.",
  SHOP_TAKEN: "This shop is connected to another brand. Disconnect it there first.",
  UNAUTHORIZED: "Shopify's answer was not signed for this app. Is the client secret right?",
  VALIDATION_ERROR: "Shopify's answer was incomplete. Begin again here.",
};

export default function Connect({ who, query }) {
  const read = useBrands(who);
  const failed = query.get("error");
  return html`<div class="head"><div><h1>Shops</h1><p>Connect a Shopify shop to a brand; its sync begins at once.</p></div></div>
    ${failed && html`<div class="note bad" role="alert"><span>${REASONS[failed] || "The shop could not be connected. Try again; the server's log has the reason."} <code class="tiny">${failed}</code></span></div>`}
    ${!who.user ? html`<${SignIn} />` : !read.data ? html`<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${6} />`}</div>`
      : html`<div class="stack">${read.data.brands.length ? html`<${Begin} brands=${read.data.brands} shop=${query.get("shop") || ""} />` : html`<${FirstBrand} done=${read.reload} />`}
        <${Connected} brands=${read.data.brands} shops=${read.data.shops} done=${read.reload} /></div>`}`;
}

function FirstBrand({ done }) {
  const [name, setName] = useState("");
  const [state, set] = useState({ busy: false, error: null });
  const make = async (event) => {
    event.preventDefault();
    set({ busy: true, error: null });
    try { await api("/api/stores/brands", { name }); await done(); } catch (error) { set({ busy: false, error }); }
  };
  return html`<section class="card"><div class="card-head"><div><h2>Your first brand</h2><p>A brand is who may see what; it may have several shops.</p></div></div>
    <form class="filters" onSubmit=${make}><${Field} label="Name of the brand" value=${name} required maxlength="200" onInput=${(e) => setName(e.target.value)} />
      <button class="button main" disabled=${state.busy || !name.trim()}>Make the brand</button></form><${Wrong} error=${state.error} /></section>`;
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
  return html`<section class="card"><div class="card-head"><div><h2>Connect a shop</h2><p>Shopify asks you to approve, then brings you back here.</p></div></div>
    <form class="filters" onSubmit=${begin}>${allowed.length > 1 && html`<label class="field">Brand<select class="input" value=${brand} onChange=${(e) => setBrand(e.target.value)}>${allowed.map((one) => html`<option key=${one.id} value=${one.id}>${one.name}</option>`)}</select></label>`}
      <${Field} label="Shop" hint="name.myshopify.com, or only the name" value=${shop} required spellcheck="false" autocapitalize="off" autocomplete="off" onInput=${(e) => setShop(e.target.value)} />
      <button class="button main" disabled=${state.busy || !shop.trim()}>${state.busy ? "Going to Shopify" : "Connect"}</button></form><${Wrong} error=${state.error} /></section>`;
}

function Connected({ brands, shops, done }) {
  const [leaving, leave] = useState(null);
  const roles = new Map(brands.map((brand) => [brand.id, brand]));
  const may = (shop) => roles.get(shop.brand_id) && roles.get(shop.brand_id).role !== "viewer";
  const live = (shop) => shop.state === "connected" || shop.state === "error";
  if (!shops.length) return html`<section class="card"><${Empty} icon="page" title="No shop is connected yet">Write the shop's name above. To try it without one: <code>headgate stores simulate</code>.<//></section>`;
  return html`<section class="card flush"><div class="card-head"><h2>Connected shops</h2></div><div class="scroll" tabindex="0" role="region" aria-label="Connected shops"><table><thead><tr><th scope="col">Shop</th><th scope="col">State</th><th scope="col" class="wide-only">Coverage</th><th scope="col" class="wide-only">Webhooks</th><th scope="col" class="wide-only">Since</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead>
    <tbody>${shops.map((shop) => html`<tr key=${shop.id}><td><strong>${shop.name || shop.shop_domain}</strong><span class="sub">${shop.shop_domain} · ${(roles.get(shop.brand_id) || {}).name || ""}</span></td>
      <td><${Badge} tone=${TONES[shop.state]}>${shop.state}<//>${shop.error && html`<span class="sub">${shop.error}</span>`}</td>
      <td class="wide-only">${shop.coverage.orders === "all" ? "All orders" : shop.coverage.orders === "60_days" ? html`<${Badge} tone="warn">last 60 days<//>` : shop.coverage.reason || "–"}</td>
      <td class="wide-only">${shop.webhooks.error ? html`<${Badge} tone="bad">${shop.webhooks.error}<//>` : shop.webhooks.topics ? `${shop.webhooks.topics} topics, looked ${ago(since(shop.webhooks.checked_at))}` : "not looked yet"}</td>
      <td class="wide-only quiet">${ago(since(shop.connected_at))}</td>
      <td class="num">${may(shop) && live(shop) && html`<span class="row"><button class="button small" type="button" onClick=${() => act(() => api(`/api/stores/connections/${shop.id}/sync`), "A sync will begin in a moment.")}>Sync now</button>
        <button class="button small" type="button" onClick=${() => leave(shop)}>Disconnect</button></span>`}</td></tr>`)}</tbody></table></div>
    ${leaving && html`<${Confirm} title=${`Disconnect ${leaving.name || leaving.shop_domain}?`} sure="Disconnect" onSure=${async () => { await api(`/api/stores/connections/${leaving.id}/disconnect`); await done(); }} onClose=${() => leave(null)}>
      <p>The app is removed from the shop and its access is erased here. What was synced stays until Shopify asks for its erasure, 48 hours later.</p><//>`}</section>`;
}

