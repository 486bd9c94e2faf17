// Stock of a shop: each variant with what is there, the scarcest first.
import { html, useState } from "../../static/names.js";
import { ask, client } from "../../static/client.js";
import { Badge, Segmented } from "../../static/ui.js";
import { count } from "../../static/format.js";
import { Listing, TO_SYNC, like } from "./listing.js";
import { ShopPage, price } from "./brand.js";

const SHOWN = [["all", "All"], ["out", "Sold out"], ["low", "Ten or fewer"]];

export default function Inventory({ who }) {
  return html`<${ShopPage} who=${who} title="Inventory" about="the scarcest first">${(shop) => html`<${List} key=${shop.id} shop=${shop} />`}<//>`;
}

function List({ shop }) {
  const [shown, show] = useState("all");
  const choice = html`<${Segmented} label="Stock shown" options=${SHOWN} value=${shown} onChange=${show} />`;
  return html`<${Listing} name=${`inventory ${shop.id} ${shown}`} label="Stock" search="Variant or SKU" extra=${choice} empty=${shown === "all" ? ["No stock yet", "It appears when the sync has read the products.", TO_SYNC] : ["Nothing is that scarce", "Every variant has more."]}
    heads=${[["Variant"], ["SKU", "wide-only"], ["Price", "num"], ["In stock", "num"], ["By place", "wide-only"]]}
    question=${async (from, to, text) => {
      let asked = client.from("shop_variants").select("shopify_id,product_id,title,sku,price,inventory_item_id,inventory_quantity", { count: "estimated" }).eq("connection_id", shop.id);
      if (text) asked = asked.or(`title.ilike.${like(text)},sku.ilike.${like(text)}`);
      if (shown === "out") asked = asked.lte("inventory_quantity", 0);
      if (shown === "low") asked = asked.gt("inventory_quantity", 0).lte("inventory_quantity", 10);
      const rows = await ask(asked.order("inventory_quantity", { nullsFirst: false }).order("shopify_id").range(from, to));
      if (!rows.length) return rows;
      const among = (column) => [...new Set(rows.map((row) => row[column]).filter(Boolean))];
      const [products, levels] = await Promise.all([
        ask(client.from("shop_products").select("shopify_id,title").eq("connection_id", shop.id).in("shopify_id", among("product_id"))),
        ask(client.from("shop_inventory_levels").select("*").eq("connection_id", shop.id).in("inventory_item_id", among("inventory_item_id"))),
      ]);
      const titles = new Map(products.map((one) => [one.shopify_id, one.title]));
      for (const row of rows) { row.product = titles.get(row.product_id); row.levels = levels.filter((one) => one.inventory_item_id === row.inventory_item_id); }
      return rows;
    }}
    row=${(v) => html`<tr key=${v.shopify_id}><td><strong>${v.product || v.product_id}</strong><span class="sub">${v.title || ""}</span></td><td class="wide-only quiet">${v.sku || "–"}</td><td class="num">${price(v.price, shop.currency)}</td>
      <td class="num">${v.inventory_quantity > 0 ? count(v.inventory_quantity) : html`<${Badge} tone=${v.inventory_quantity < 0 ? "bad" : "warn"}>${count(v.inventory_quantity)}<//>`}</td><td class="wide-only quiet small">${(v.levels || []).map((l) => `${l.location || l.location_id}: ${count(l.available)}`).join(" · ") || "–"}</td></tr>`} />`;
}
