// Products of a shop; each leads to the stock of its variants.
import { html } from "../../static/names.js";
import { ask, client } from "../../static/client.js";
import { Badge } from "../../static/ui.js";
import { ago, count, when } from "../../static/format.js";
import { Listing, TO_SYNC, like, sorted } from "./listing.js";
import { ShopPage, since, words } from "./brand.js";

const TONES = { ACTIVE: "good", DRAFT: "", ARCHIVED: "warn" };
const CHOICES = { state: ["State", [["", "Any"], ["ACTIVE", "Active"], ["DRAFT", "Draft"], ["ARCHIVED", "Archived"]]] };
const COLUMNS = "shopify_id,title,vendor,product_type,status,total_inventory,updated_at,gift_card";

export default function Products({ who }) {
  return html`<${ShopPage} who=${who} title="Products" about="with what is left of them">${(shop) => html`<${Listing} key=${shop.id} name=${`products ${shop.id}`} label="Products" search="Title, vendor or type" choices=${CHOICES} sort="title.asc"
    empty=${["No products yet", "They appear when the sync has read them, and as the shop adds them.", TO_SYNC]}
    heads=${[["Product", "", "title"], ["State", "wide-only"], ["Type", "wide-only"], ["Changed", "wide-only", "updated_at"], ["In stock", "num", "total_inventory"]]}
    question=${(from, to, { words: text, sort, state }) => {
      let asked = client.from("shop_products").select(COLUMNS, { count: "estimated" }).eq("connection_id", shop.id);
      if (text) asked = asked.or(["title", "vendor", "product_type"].map((column) => `${column}.ilike.${like(text)}`).join(","));
      if (state) asked = asked.eq("status", state);
      return ask(sorted(asked, sort).range(from, to));
    }}
    row=${(p) => html`<${Row} key=${p.shopify_id} p=${p} shop=${shop} />`} />`}<//>`;
}

function Row({ p, shop }) {
  const state = html`<${Badge} tone=${TONES[p.status]}>${words(p.status)}<//>`;
  return html`<tr><td><a class="name" href=${`#/stores/inventory?product=${p.shopify_id}`}>${p.title}</a>${p.gift_card && html` <${Badge}>gift card<//>`}<span class="sub">${p.vendor || ""}</span><span class="phone-only">${state}</span></td><td class="wide-only">${state}</td><td class="wide-only quiet">${p.product_type || "–"}</td>
    <td class="wide-only quiet" title=${when(p.updated_at, shop.time_zone)}>${ago(since(p.updated_at))}</td><td class="num">${p.total_inventory > 0 || p.total_inventory === null ? count(p.total_inventory) : html`<${Badge} tone=${p.total_inventory < 0 ? "bad" : "warn"}>${count(p.total_inventory).replace("-", "−")}<//>`}</td></tr>`;
}
