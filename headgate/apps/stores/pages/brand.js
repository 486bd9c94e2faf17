// What every page of stores shares: the reader's brands and shops, which are chosen, and how the API of stores is asked.
import { html, useEffect, useState } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Empty, Failure } from "../../static/ui.js";
import { Bones } from "../../static/widgets.js";

const KEPT = "headgate-stores-shop";

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

/** The reader's brands and their shops. → {brands, shops} with `reload` and `error` of `useAsk`. */
export function useBrands(who) {
  return useAsk(who.user ? `brands ${who.user.id}` : null, async () => {
    const [brands, shops] = await Promise.all([
      ask(client.from("shop_brands").select("id,name,role").order("name")),
      ask(client.from("shop_connections").select("*").order("connected_at")),
    ]);
    return { brands, shops };
  }, { every: 15000 });
}

function remembered() {
  try { return Number(localStorage.getItem(KEPT)) || null; } catch { return null; }
}

/** The page around what is about one shop: sign-in, no brand, no shop, the choice among several. */
export function ShopPage({ who, title, about, children }) {
  const read = useBrands(who);
  const [chosen, choose] = useState(remembered());
  useEffect(() => { if (chosen) { try { localStorage.setItem(KEPT, String(chosen)); } catch { /* kept until the page is left */ } } }, [chosen]);
  const shops = read.data ? read.data.shops.filter((shop) => shop.state !== "redacted") : [];
  const shop = shops.find((one) => one.id === chosen) || shops[0];
  const picker = shops.length > 1 && html`<label class="field">Shop<select class="input" value=${shop.id} onChange=${(e) => choose(Number(e.target.value))}>${shops.map((one) => html`<option key=${one.id} value=${one.id}>${one.name || one.shop_domain}</option>`)}</select></label>`;
  const head = html`<div class="head"><div><h1>${title}</h1><p>${shop ? `${shop.name || shop.shop_domain} · ${about}` : about}</p></div>${picker}</div>`;
  if (!who.user) return html`${head}<${SignIn} />`;
  if (!read.data) return html`${head}<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`}</div>`;
  if (!shop) return html`${head}<div class="card"><${NoShop} /></div>`;
  return html`${head}${shop.state === "error" && html`<div class="note bad" role="alert"><span>${shop.error || "This shop needs attention."} <a href="#/stores/connect">Connect it again</a></span></div>`}${children(shop)}`;
}

export function SignIn() {
  return html`<div class="card"><${Empty} icon="lock" title="Sign in to see this" action=${html`<a class="button main" href=${`#/sign-in?to=${encodeURIComponent(location.hash.slice(1))}`}>Sign in</a>`}>What you may see follows the brands you belong to.<//></div>`;
}

export function NoShop() {
  return html`<${Empty} icon="page" title="No shop is connected" action=${html`<a class="button main" href="#/stores/connect">Connect a shop</a>`}>Its orders, customers and products are synced and kept up to date from then on.<//>`;
}

/** Money with its own currency, to the cent where there are cents. */
export function price(value, currency) {
  if (value === null || value === undefined) return "–";
  return new Intl.NumberFormat(undefined, { style: "currency", currency: currency || "USD" }).format(value);
}

/** Rows of a table with a search box and pages. `ask(from, to, words)` gives rows with `total`. */
export function useRows(key, question) {
  const [page, setPage] = useState(0);
  useEffect(() => setPage(0), [key]);
  const read = useAsk(`${key} ${page}`, () => question(page * 25, page * 25 + 24), { every: 15000 });
  return { read, page, setPage };
}

/** "today", "3 h ago" for a moment. */
export const since = (iso) => (Date.now() - Date.parse(iso)) / 1000;
