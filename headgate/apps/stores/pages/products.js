// Products of a shop.
import { html } from "../../static/names.js";
import { ask, client } from "../../static/client.js";
import { Badge } from "../../static/ui.js";
import { ago, count } from "../../static/format.js";
import { Listing, TO_SYNC, like } from "./listing.js";
import { ShopPage, since } from "./brand.js";

const TONES = { ACTIVE: "good", DRAFT: "", ARCHIVED: "warn" };

export default function Products({ who }) {
  return html`<${ShopPage} who=${who} title="Products" about="by title">${(shop) => html`<${Listing} key=${shop.id} name=${`products ${shop.id}`} label="Products" search="Title, vendor or type" empty=${["No products yet", "They appear when the sync has read them.", TO_SYNC]}
    heads=${[["Product"], ["State"], ["Type", "wide-only"], ["In stock", "num"], ["Changed", "wide-only num"]]}
    question=${(from, to, text) => {
      let asked = client.from("shop_products").select("shopify_id,title,vendor,product_type,status,total_inventory,updated_at,gift_card", { count: "estimated" }).eq("connection_id", shop.id);
      if (text) asked = asked.or(["title", "vendor", "product_type"].map((column) => `${column}.ilike.${like(text)}`).join(","));
      return ask(asked.order("title").order("shopify_id").range(from, to));
    }}
    row=${(p) => html`<tr key=${p.shopify_id}><td><strong>${p.title}</strong>${p.gift_card && html` <${Badge}>gift card<//>`}<span class="sub">${p.vendor || ""}</span></td><td><${Badge} tone=${TONES[p.status]}>${(p.status || "–").toLowerCase()}<//></td><td class="wide-only quiet">${p.product_type || "–"}</td><td class=${`num ${p.total_inventory < 0 ? "down" : ""}`}>${count(p.total_inventory)}</td><td class="wide-only quiet num">${ago(since(p.updated_at))}</td></tr>`} />`}<//>`;
}
