// Customers of a shop. Erased people are numbers here, and stay so.
import { html } from "../../static/names.js";
import { ask, client } from "../../static/client.js";
import { Badge } from "../../static/ui.js";
import { when } from "../../static/format.js";
import { Listing, TO_SYNC, like } from "./listing.js";
import { ShopPage } from "./brand.js";

export default function Customers({ who }) {
  return html`<${ShopPage} who=${who} title="Customers" about="the newest first">${(shop) => html`<${Listing} key=${shop.id} name=${`customers ${shop.id}`} label="Customers" search="Name or address" empty=${["No customers yet", "They appear when the sync has read them.", TO_SYNC]}
    heads=${[["Customer"], ["Phone", "wide-only"], ["Language", "wide-only"], ["State"], ["Since", "num"]]}
    question=${(from, to, text) => {
      let asked = client.from("shop_customers").select("shopify_id,first_name,last_name,email,phone,locale,state,created_at,redacted", { count: "estimated" }).eq("connection_id", shop.id);
      if (text) asked = asked.or(["first_name", "last_name", "email"].map((column) => `${column}.ilike.${like(text)}`).join(","));
      return ask(asked.order("created_at", { ascending: false, nullsFirst: false }).range(from, to));
    }}
    row=${(c) => html`<tr key=${c.shopify_id}><td>${c.redacted ? html`<span class="quiet">${c.shopify_id}</span> <${Badge}>erased<//>` : html`<strong>${[c.first_name, c.last_name].filter(Boolean).join(" ") || c.email || c.shopify_id}</strong><span class="sub">${c.email || ""}</span>`}</td>
      <td class="wide-only quiet">${c.phone || "–"}</td><td class="wide-only quiet">${c.locale || "–"}</td><td class="quiet">${(c.state || "–").toLowerCase()}</td><td class="quiet num">${c.created_at ? when(c.created_at, shop.time_zone) : "–"}</td></tr>`} />`}<//>`;
}
