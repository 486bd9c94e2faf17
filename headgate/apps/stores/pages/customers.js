// Customers of a shop. Erased people are numbers here, and stay so.
import { html } from "../../static/names.js";
import { ask, client } from "../../static/client.js";
import { Badge } from "../../static/ui.js";
import { when } from "../../static/format.js";
import { Listing, TO_SYNC, like, sorted } from "./listing.js";
import { ShopPage, words } from "./brand.js";

const CHOICES = { state: ["Account", [["", "Any"], ["ENABLED", "Enabled"], ["DISABLED", "Disabled"], ["INVITED", "Invited"], ["DECLINED", "Declined"]]] };
const COLUMNS = "shopify_id,first_name,last_name,email,phone,locale,state,created_at,redacted";

export default function Customers({ who }) {
  return html`<${ShopPage} who=${who} title="Customers" about=${(shop) => `times in ${shop.time_zone}`}>${(shop) => html`<${Listing} key=${shop.id} name=${`customers ${shop.id}`} label="Customers" search="Name or address" placeholder="name@example.com" choices=${CHOICES} sort="created_at.desc"
    empty=${["No customers yet", "They appear when the sync has read them, and as the shop wins them.", TO_SYNC]}
    heads=${[["Customer"], ["Phone", "wide-only"], ["Language", "wide-only"], ["Account", "wide-only"], ["Since", "wide-only", "created_at"], ["Orders", "num"]]}
    question=${(from, to, { words: text, sort, state }) => {
      let asked = client.from("shop_customers").select(COLUMNS, { count: "estimated" }).eq("connection_id", shop.id);
      // A whole name is two columns: every word has to be in one of them.
      for (const word of text.split(/\s+/).filter(Boolean).slice(0, 5)) asked = asked.or(["first_name", "last_name", "email"].map((column) => `${column}.ilike.${like(word)}`).join(","));
      if (state) asked = asked.eq("state", state);
      return ask(sorted(asked, sort).range(from, to));
    }}
    row=${(c) => html`<tr key=${c.shopify_id}><td>${c.redacted ? html`<span class="quiet">${c.shopify_id}</span> <${Badge}>erased<//>` : html`<strong>${[c.first_name, c.last_name].filter(Boolean).join(" ") || c.email || c.shopify_id}</strong><span class="sub">${c.email || "no address"}</span>`}${c.created_at && html`<span class="sub phone-only">since ${when(c.created_at, shop.time_zone)}</span>`}</td>
      <td class="wide-only quiet">${c.phone || "–"}</td><td class="wide-only quiet">${c.locale || "–"}</td><td class="wide-only quiet">${words(c.state)}</td><td class="wide-only quiet nowrap">${c.created_at ? when(c.created_at, shop.time_zone) : "–"}</td>
      <td class="num"><a class="button small" href=${`#/stores/orders?customer=${c.shopify_id}`} aria-label=${`Orders of ${[c.first_name, c.last_name].filter(Boolean).join(" ") || c.shopify_id}`}>Orders</a></td></tr>`} />`}<//>`;
}
