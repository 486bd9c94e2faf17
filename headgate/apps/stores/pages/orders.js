// Orders of a shop, the newest first; one order with its lines and the ledger that makes its total.
import { html } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Badge, Empty, Failure } from "../../static/ui.js";
import { Bones, Facts } from "../../static/widgets.js";
import { count, when } from "../../static/format.js";
import { Listing, TO_SYNC, like } from "./listing.js";
import { ShopPage, price } from "./brand.js";

const TONES = { PAID: "good", REFUNDED: "warn", PARTIALLY_REFUNDED: "warn", PENDING: "", VOIDED: "bad" };
const words = (text) => (text ? text.toLowerCase().replaceAll("_", " ") : "–");

export default function Orders({ who, rest }) {
  return html`<${ShopPage} who=${who} title=${rest[0] ? "Order" : "Orders"} about=${rest[0] ? "with its ledger" : "the newest version known of each"}>${(shop) => (rest[0] ? html`<${One} shop=${shop} id=${rest[0]} />` : html`<${List} key=${shop.id} shop=${shop} />`)}<//>`;
}

function List({ shop }) {
  return html`<${Listing} name=${`orders ${shop.id}`} label="Orders" search="Order" empty=${["No orders yet", "They appear as the sync reads them; the last days come first.", TO_SYNC]}
    heads=${[["Order"], ["Placed", "wide-only"], ["Payment"], ["Fulfilment", "wide-only"], ["Total now", "num"], ["As ordered", "num wide-only"]]}
    question=${(from, to, text) => {
      let asked = client.from("shop_orders").select("shopify_id,name,created_at,financial_status,fulfillment_status,cancelled_at,test,edited,currency,total_price,current_total_price", { count: "estimated" }).eq("connection_id", shop.id);
      if (text) asked = asked.or(`name.ilike.${like(text)}${/^\d{1,18}$/.test(text) ? `,shopify_id.eq.${text}` : ""}`);
      return ask(asked.order("created_at", { ascending: false }).range(from, to));
    }}
    row=${(o) => html`<tr key=${o.shopify_id}><td><a class="name" href=${`#/stores/orders/${o.shopify_id}`}>${o.name || o.shopify_id}</a>${o.test && html` <${Badge}>test<//>`}${o.cancelled_at && html` <${Badge} tone="bad">cancelled<//>`}${o.edited && html` <${Badge}>edited<//>`}</td>
      <td class="wide-only quiet">${when(o.created_at, shop.time_zone)}</td><td><${Badge} tone=${TONES[o.financial_status]}>${words(o.financial_status)}<//></td><td class="wide-only quiet">${words(o.fulfillment_status)}</td><td class="num"><strong>${price(o.current_total_price, o.currency)}</strong></td><td class="num wide-only quiet">${price(o.total_price, o.currency)}</td></tr>`} />`;
}

function One({ shop, id }) {
  const read = useAsk(`order ${shop.id} ${id}`, async () => {
    const of = (table, columns) => client.from(table).select(columns).eq("connection_id", shop.id);
    const [order, lines, sales, refunds] = await Promise.all([
      ask(of("shop_orders", "*").eq("shopify_id", id).maybeSingle()),
      ask(of("shop_line_items", "*").eq("order_id", id).order("shopify_id")),
      ask(of("shop_sales", "*").eq("order_id", id).order("day").order("shopify_id")),
      ask(of("shop_refunds", "*").eq("order_id", id).order("shopify_id")),
    ]);
    return { order, lines, sales, refunds };
  });
  const crumb = html`<a class="crumb" href="#/stores/orders">← Orders</a>`;
  if (!read.data) return html`${crumb}<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`}</div>`;
  const { order: o, lines, sales, refunds } = read.data;
  if (!o) return html`${crumb}<div class="card"><${Empty} icon="page" title="There is no such order">It was deleted at Shopify, or has not been read yet.<//></div>`;
  const ledger = sales.reduce((sum, sale) => sum + Number(sale.amount), 0);
  const ties = Math.abs(ledger - Number(o.current_total_price)) < 0.005;
  return html`${crumb}<div class="stack"><section class="card"><div class="card-head"><div><h2>${o.name || o.shopify_id}</h2><p>${when(o.created_at, shop.time_zone)}</p></div>${sales.length > 0 && html`<${Badge} tone=${ties ? "good" : "bad"}>${ties ? "ledger ties" : "ledger does not tie"}<//>`}</div>
    <${Facts} items=${[["Total now", price(o.current_total_price, o.currency)], ["As ordered", price(o.total_price, o.currency)], ["Refunded", price(o.total_refunded, o.currency)], ["Payment", words(o.financial_status)], ["Fulfilment", words(o.fulfillment_status)], ["Refunds", count(refunds.length)], ["Changed", when(o.updated_at, shop.time_zone)]]} /></section>
    <section class="card flush"><div class="card-head"><h2>Lines</h2></div><div class="scroll" tabindex="0" role="region" aria-label="Lines"><table><thead><tr><th scope="col">Item</th><th class="num" scope="col">Ordered</th><th class="num" scope="col">Left</th><th class="num" scope="col">Price</th></tr></thead><tbody>${lines.map((l) => html`<tr key=${l.shopify_id}><td>${l.title || "–"}<span class="sub">${[l.variant_title, l.sku].filter(Boolean).join(" · ")}</span></td><td class="num">${count(l.quantity)}</td><td class="num">${count(l.current_quantity)}</td><td class="num">${price(l.unit_price, o.currency)}</td></tr>`)}</tbody></table></div></section>
    <section class="card flush"><div class="card-head"><div><h2>Ledger</h2><p>What each sale, edit, refund and return added; the sum is the total now.</p></div></div><div class="scroll" tabindex="0" role="region" aria-label="Ledger"><table><thead><tr><th scope="col">Day</th><th scope="col">What</th><th class="num" scope="col">Discount</th><th class="num" scope="col">Tax</th><th class="num" scope="col">Amount</th></tr></thead><tbody>${sales.map((s) => html`<tr key=${s.shopify_id}><td class="nowrap">${s.day}</td><td>${words(s.reason)} · ${words(s.line_type)}</td><td class="num">${price(s.discount, s.currency)}</td><td class="num">${price(s.tax, s.currency)}</td><td class="num">${price(s.amount, s.currency)}</td></tr>`)}
      <tr><th scope="row" colspan="4">Sum</th><td class="num"><strong>${price(ledger, o.currency)}</strong></td></tr></tbody></table></div></section></div>`;
}
