// Customers of a shop, with what they bought by the ledger. Erased people are numbers here, and stay so.
import { html } from "../../static/names.js";
import { ask, client } from "../../static/client.js";
import { Badge } from "../../static/ui.js";
import { count, when } from "../../static/format.js";
import { Listing, TO_SYNC, like, sorted } from "./listing.js";
import { ShopPage, price, words } from "./brand.js";

const CHOICES = { state: ["Account", [["", "Any"], ["ENABLED", "Enabled"], ["DISABLED", "Disabled"], ["INVITED", "Invited"], ["DECLINED", "Declined"]]] };
const COLUMNS = "shopify_id,first_name,last_name,email,phone,locale,state,created_at,redacted";

/** A day where the shop is, with its year. */
const date = (iso, zone) => new Date(iso).toLocaleDateString(undefined, { timeZone: zone, day: "numeric", month: "short", year: "numeric" });

/** What the customers of a page bought, the shop's own currency first; it may have had others before. */
async function withTotals(shop, rows) {
  const found = rows.length ? await ask(client.from("shop_customer_totals").select("customer_id,currency,orders,total,last_order_at").eq("connection_id", shop.id).in("customer_id", rows.map((one) => one.shopify_id))) : [];
  for (const row of rows) row.bought = found.filter((one) => one.customer_id === row.shopify_id).sort((a, b) => (b.currency === shop.currency) - (a.currency === shop.currency));
  return rows;
}

export default function Customers({ who }) {
  return html`<${ShopPage} who=${who} title="Customers" about=${(shop) => `times in ${shop.time_zone}`}>${(shop) => html`<${Listing} key=${shop.id} name=${`customers ${shop.id}`} label="Customers" search="Name or address" placeholder="name@example.com" choices=${CHOICES} sort="created_at.desc"
    empty=${["No customers yet", "They appear when the sync has read them, and as the shop wins them.", TO_SYNC]}
    heads=${[["Customer"], ["Phone", "wide-only"], ["Account", "wide-only"], ["Since", "wide-only", "created_at"], ["Last order", "wide-only"], ["Orders", "num wide-only"], ["Total", "num"]]}
    question=${async (from, to, { words: text, sort, state }) => {
      let asked = client.from("shop_customers").select(COLUMNS, { count: "estimated" }).eq("connection_id", shop.id);
      // A whole name is two columns: every word has to be in one of them.
      for (const word of text.split(/\s+/).filter(Boolean).slice(0, 5)) asked = asked.or(["first_name", "last_name", "email"].map((column) => `${column}.ilike.${like(word)}`).join(","));
      if (state) asked = asked.eq("state", state);
      return withTotals(shop, await ask(sorted(asked, sort).range(from, to)));
    }}
    row=${(c) => html`<${Row} key=${c.shopify_id} c=${c} shop=${shop} />`} />`}<//>`;
}

function Row({ c, shop }) {
  const name = [c.first_name, c.last_name].filter(Boolean).join(" ") || c.email || c.shopify_id;
  const orders = c.bought.reduce((sum, one) => sum + one.orders, 0);
  const last = c.bought.map((one) => one.last_order_at).filter(Boolean).sort().at(-1);
  const link = (text) => html`<a class="name" style=${{ textDecoration: "underline" }} href=${`#/stores/orders?customer=${c.shopify_id}`} aria-label=${`${text} of ${name}`}>${text}</a>`;
  const told = c.bought.length ? link(`${count(orders)} ${orders === 1 ? "order" : "orders"}`) : html`<span class="quiet">no orders</span>`;
  return html`<tr><td>${c.redacted ? html`<span class="quiet">${c.shopify_id}</span> <${Badge}>erased<//>` : html`<strong>${name}</strong><span class="sub">${c.email || "no address"}</span>`}${last && html`<span class="sub phone-only">last order ${date(last, shop.time_zone)}</span>`}</td>
    <td class="wide-only quiet">${c.phone || "–"}</td><td class="wide-only quiet">${words(c.state)}${c.locale && html`<span class="sub">${c.locale}</span>`}</td><td class="wide-only quiet">${c.created_at ? date(c.created_at, shop.time_zone) : "–"}</td><td class="wide-only quiet" title=${last ? when(last, shop.time_zone) : undefined}>${last ? date(last, shop.time_zone) : "–"}</td><td class="num wide-only">${told}</td>
    <td class="num">${c.bought.length ? c.bought.map((one, at) => (at ? html`<span class="sub" key=${one.currency}>${price(one.total, one.currency)}</span>` : html`<strong key=${one.currency}>${price(one.total, one.currency)}</strong>`)) : html`<span class="quiet">–</span>`}<span class="sub phone-only">${told}</span></td></tr>`;
}
