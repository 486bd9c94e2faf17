// What every page of stores shares: the reader's brands and shops, which is chosen, money, and how the API is asked.
import { html, useEffect, useState } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Empty, Failure } from "../../static/ui.js";
import { Bones } from "../../static/widgets.js";

const KEPT = "headgate-stores-shop";
let last = { key: null, data: null };

/** Ask an endpoint of stores as the signed-in user. Rejects with an Error that has `code`. */
export async function api(path, body) {
  const { data } = await client.auth.getSession();
  const headers = { Authorization: `Bearer ${data.session ? data.session.access_token : ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw Object.assign(new Error("The server does not answer."), { code: "UNREACHABLE" });
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(told.error ? told.error.message : `The server answered ${answer.status}.`), { code: told.error ? told.error.code : "HTTP" });
  return told.data;
}

/**
 * The reader's brands and their shops. → {brands, shops} with `reload` and `error` of `useAsk`. What the page before read
 * is shown until the answer is here, so that going from page to page waits for nothing.
 */
export function useBrands(who) {
  const key = who.user ? `brands ${who.user.id}` : null;
  const read = useAsk(key, async () => {
    const [brands, shops] = await Promise.all([
      ask(client.from("shop_brands").select("id,name,role").order("name")),
      ask(client.from("shop_connections").select("*").order("connected_at")),
    ]);
    last = { key, data: { brands, shops } };
    return last.data;
  }, { every: 15000 });
  return { ...read, data: key === null ? null : read.data || (last.key === key ? last.data : null) };
}

function remembered() {
  try { return Number(localStorage.getItem(KEPT)) || null; } catch { return null; }
}

/** Whether the reader may manage a shop: its brand's owners and admins. */
export const manages = (shop, brands) => brands.some((brand) => brand.id === shop.brand_id && brand.role !== "viewer");

/**
 * The page around what is about one shop: sign-in, no brand, no shop, the choice among several, what is wrong with it.
 * `about` and `crumb`: what stands under and above the title; `about` may be a function of the shop.
 */
export function ShopPage({ who, title, about, crumb, children }) {
  const read = useBrands(who);
  const [chosen, choose] = useState(remembered());
  useEffect(() => { if (chosen) { try { localStorage.setItem(KEPT, String(chosen)); } catch { /* kept until the page is left */ } } }, [chosen]);
  const shops = read.data ? read.data.shops.filter((shop) => shop.state !== "redacted") : [];
  const shop = shops.find((one) => one.id === chosen) || shops[0];
  const said = typeof about === "function" ? shop && about(shop) : about;
  const head = html`<div class="head"><div style=${{ flex: "1 1 260px" }}>${crumb}<h1>${title}</h1><p>${[shop && called(shop), said].filter(Boolean).join(" · ") || "\u00a0"}</p></div>
    ${shops.length > 1 && html`<${Picker} shops=${shops} brands=${read.data.brands} value=${shop.id} onChoose=${choose} />`}</div>`;
  if (!who.user) return html`${head}<${SignIn} />`;
  if (!read.data) return html`${head}<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`}</div>`;
  if (!shop) return html`${head}<div class="card"><${NoShop} brands=${read.data.brands} /></div>`;
  return html`${head}<${Trouble} shop=${shop} />${children(shop, manages(shop, read.data.brands))}`;
}

const called = (shop) => shop.name || shop.shop_domain;

/** Which shop; under its brand's name where there are several brands. */
function Picker({ shops, brands, value, onChoose }) {
  const option = (one) => html`<option key=${one.id} value=${one.id}>${called(one)}</option>`;
  const groups = brands.map((brand) => [brand, shops.filter((shop) => shop.brand_id === brand.id)]).filter(([, own]) => own.length);
  return html`<label class="field" style=${{ flex: "0 1 220px", minWidth: "180px" }}>Shop<select class="input" value=${value} onChange=${(e) => onChoose(Number(e.target.value))}>
    ${groups.length > 1 ? groups.map(([brand, own]) => html`<optgroup key=${brand.id} label=${brand.name}>${own.map(option)}</optgroup>`) : shops.map(option)}</select></label>`;
}

/** A shop that is no longer kept up to date says so above whatever is shown of it. */
function Trouble({ shop }) {
  const again = html` <a class="name" style=${{ textDecoration: "underline" }} href=${`#/stores/connect?shop=${encodeURIComponent(shop.shop_domain)}`}>Connect it again</a>`;
  if (shop.state === "error") return html`<div class="note bad" role="alert"><span>${shop.error || "This shop needs attention."}${again}</span></div>`;
  if (shop.state === "disconnected") return html`<div class="note" role="note"><span>This shop is disconnected: what you see is no longer kept up to date.${again}</span></div>`;
  if (shop.state === "uninstalled") return html`<div class="note" role="note"><span>The app was removed from this shop: what you see is no longer kept up to date.${again}</span></div>`;
  return null;
}

export function SignIn() {
  return html`<div class="card"><${Empty} icon="lock" title="Sign in to see this" action=${html`<a class="button main" href=${`#/sign-in?to=${encodeURIComponent(location.hash.slice(1))}`}>Sign in</a>`}>What you may see follows the brands you belong to.<//></div>`;
}

export function NoShop({ brands }) {
  if (!brands.length) return html`<${Empty} icon="page" title="You belong to no brand yet" action=${html`<a class="button main" href="#/stores/connect">Make or join a brand</a>`}>Make one and connect its shop. To see a brand that is here already, ask one of its owners to invite your address; the invitation comes to the same page.<//>`;
  if (brands.every((brand) => brand.role === "viewer")) return html`<${Empty} icon="page" title="No shop is connected yet">An owner or admin of ${brands.map((brand) => brand.name).join(", ")} connects its shop; then its figures are here.<//>`;
  return html`<${Empty} icon="page" title="No shop is connected" action=${html`<a class="button main" href="#/stores/connect">Connect a shop</a>`}>Its orders, customers and products are synced and kept up to date from then on.<//>`;
}

/** Money with its own currency, with as many digits as that has; without a known currency only the number. */
export function price(value, currency, options = {}) {
  if (value === null || value === undefined) return "–";
  let made;
  try { made = new Intl.NumberFormat(undefined, currency ? { style: "currency", currency, ...options } : options); } catch { made = new Intl.NumberFormat(); }
  return made.format(value).replace("-", "−");
}

/** A date of the shop's calendar, `yyyy-mm-dd`, as people read it. */
export function day(text, style = { day: "numeric", month: "short", year: "numeric" }) {
  return new Date(`${text}T00:00:00Z`).toLocaleDateString(undefined, { timeZone: "UTC", ...style });
}

/** A word of Shopify's, such as PARTIALLY_REFUNDED, as people write it. */
export const words = (text) => (text ? text.toLowerCase().replaceAll("_", " ") : "–");

/** Seconds since a moment. */
export const since = (iso) => (Date.now() - Date.parse(iso)) / 1000;
