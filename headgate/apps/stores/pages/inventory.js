// Stock of a shop: each variant with what is there, the scarcest first.
import { html } from "../../static/names.js";
import { ask, client } from "../../static/client.js";
import { Badge } from "../../static/ui.js";
import { count } from "../../static/format.js";
import { Listing, TO_SYNC, like, sorted } from "./listing.js";
import { ShopPage, price } from "./brand.js";

const CHOICES = { stock: ["Stock", [["", "Any"], ["out", "Sold out"], ["low", "Ten or fewer"]]] };
const COLUMNS = "shopify_id,product_id,title,sku,price,inventory_item_id,inventory_quantity";
const ONLY = "Default Title";  // Shopify's name for the variant of a product that has no others
const left = (n) => (n === null ? "–" : count(n).replace("-", "−"));

export default function Inventory({ who, query }) {
  const product = /^\d{1,18}$/.test(query.get("product") || "") ? query.get("product") : null;
  return html`<${ShopPage} who=${who} title="Inventory" about="the scarcest first">${(shop) => html`<${List} key=${`${shop.id} ${product}`} shop=${shop} product=${product} />`}<//>`;
}

function List({ shop, product }) {
  const of = (table, columns, options) => client.from(table).select(columns, options).eq("connection_id", shop.id);
  const only = product && html`<div class="note" role="note"><span>Variants of one product. <a class="name" style=${{ textDecoration: "underline" }} href="#/stores/inventory">Show the whole stock</a></span></div>`;
  return html`<${Listing} name=${`inventory ${shop.id} ${product || ""}`} label="Stock" search="Product, variant or SKU" choices=${CHOICES} sort="inventory_quantity.asc" above=${only}
    empty=${product ? ["No variants of this product", "It was deleted, or has not been read yet.", TO_SYNC] : ["No stock yet", "It appears when the sync has read the products.", TO_SYNC]}
    heads=${[["Variant"], ["SKU", "wide-only"], ["By place", "wide-only"], ["Price", "num wide-only", "price"], ["In stock", "num", "inventory_quantity"]]}
    question=${async (from, to, { words: text, sort, stock }) => {
      let asked = of("shop_variants", COLUMNS, { count: "estimated" });
      if (product) asked = asked.eq("product_id", product);
      if (text) {
        const named = await ask(of("shop_products", "shopify_id").ilike("title", `%${text.replace(/[\\%_]/g, "\\$&")}%`).limit(200));
        asked = asked.or([`title.ilike.${like(text)}`, `sku.ilike.${like(text)}`, ...(named.length ? [`product_id.in.(${named.map((one) => one.shopify_id).join(",")})`] : [])].join(","));
      }
      if (stock === "out") asked = asked.lte("inventory_quantity", 0);
      if (stock === "low") asked = asked.gt("inventory_quantity", 0).lte("inventory_quantity", 10);
      const rows = await ask(sorted(asked, sort).range(from, to));
      if (!rows.length) return rows;
      const among = (column) => [...new Set(rows.map((row) => row[column]).filter(Boolean))];
      const [products, levels] = await Promise.all([
        ask(of("shop_products", "shopify_id,title").in("shopify_id", among("product_id"))),
        ask(of("shop_inventory_levels", "inventory_item_id,location_id,location,available").in("inventory_item_id", among("inventory_item_id")).order("location_id")),
      ]);
      const titles = new Map(products.map((one) => [one.shopify_id, one.title]));
      for (const row of rows) { row.product = titles.get(row.product_id); row.levels = levels.filter((one) => one.inventory_item_id === row.inventory_item_id); }
      return rows;
    }}
    row=${(v) => html`<${Row} key=${v.shopify_id} v=${v} currency=${shop.currency} />`} />`;
}

function Row({ v, currency }) {
  const places = (v.levels || []).map((l) => `${l.location || l.location_id}: ${left(l.available)}`).join(" · ");
  return html`<tr><td><strong>${v.product || v.product_id}</strong><span class="sub">${v.title && v.title !== ONLY ? v.title : html`<span class="wide-only">one variant</span>`}</span><span class="sub phone-only">${[v.sku, price(v.price, currency)].filter(Boolean).join(" · ")}</span><span class="sub phone-only">${places}</span></td>
    <td class="wide-only quiet">${v.sku || "–"}</td><td class="wide-only quiet small">${places || "–"}</td><td class="num wide-only">${price(v.price, currency)}</td>
    <td class="num">${v.inventory_quantity > 0 ? html`<strong>${left(v.inventory_quantity)}</strong>` : v.inventory_quantity === null ? html`<span class="quiet">not counted</span>` : html`<${Badge} tone=${v.inventory_quantity < 0 ? "bad" : "warn"}>${left(v.inventory_quantity)}<//>`}</td></tr>`;
}
