// Orders of a shop, the newest first; one order with its lines and the ledger that makes its total.
import { html, useEffect, useState } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Badge, Empty, Failure, Stat } from "../../static/ui.js";
import { Bones } from "../../static/widgets.js";
import { count, when } from "../../static/format.js";
import { Listing, TO_SYNC, like, sorted } from "./listing.js";
import { ShopPage, day, price, words } from "./brand.js";

const TONES = { PAID: "good", REFUNDED: "warn", PARTIALLY_REFUNDED: "warn", PENDING: "", VOIDED: "bad" };
const option = (value) => [value, words(value)[0].toUpperCase() + words(value).slice(1)];
const CHOICES = {
  payment: ["Payment", [["", "Any"], ...["PAID", "PENDING", "AUTHORIZED", "PARTIALLY_PAID", "PARTIALLY_REFUNDED", "REFUNDED", "VOIDED"].map(option)]],
  fulfilment: ["Fulfilment", [["", "Any"], ...["UNFULFILLED", "PARTIALLY_FULFILLED", "FULFILLED"].map(option)]],
  kind: ["Kind", [["", "Any"], ["cancelled", "Cancelled"], ["edited", "Edited"], ["test", "Test orders"]]],
};
const COLUMNS = "shopify_id,name,created_at,financial_status,fulfillment_status,cancelled_at,test,edited,currency,total_price,current_total_price,presentment_currency,presentment_current_total_price,customer_id";

export default function Orders({ who, rest, query }) {
  const id = rest[0];
  const [name, tell] = useState("");
  const crumb = id && html`<a class="crumb" href="#/stores/orders">← Orders</a>`;
  return html`<${ShopPage} who=${who} title=${id ? `Order ${name}` : "Orders"} crumb=${crumb} about=${(shop) => `times in ${shop.time_zone}`}>${(shop) => (id ? html`<${One} key=${`${shop.id} ${id}`} shop=${shop} id=${id} tell=${tell} />` : html`<${List} key=${shop.id} shop=${shop} customer=${query.get("customer")} />`)}<//>`;
}

/** The people behind rows that name them by number. → Map of id to {name, redacted}. */
async function people(shop, ids) {
  const rows = ids.length ? await ask(client.from("shop_customers").select("shopify_id,first_name,last_name,email,redacted").eq("connection_id", shop.id).in("shopify_id", ids)) : [];
  return new Map(rows.map((one) => [one.shopify_id, one.redacted ? "erased" : [one.first_name, one.last_name].filter(Boolean).join(" ") || one.email || String(one.shopify_id)]));
}

async function matching(shop, text) {
  const parts = [`name.ilike.${like(text)}`];
  if (/^\d{1,18}$/.test(text)) parts.push(`shopify_id.eq.${text}`);
  else if (!text.startsWith("#")) {
    const found = await ask(client.from("shop_customers").select("shopify_id").eq("connection_id", shop.id).or(["first_name", "last_name", "email"].map((column) => `${column}.ilike.${like(text)}`).join(",")).limit(100));
    if (found.length) parts.push(`customer_id.in.(${found.map((one) => one.shopify_id).join(",")})`);
  }
  return parts.join(",");
}

function List({ shop, customer }) {
  const of = /^\d{1,18}$/.test(customer || "") ? customer : null;
  const only = of && html`<div class="note" role="note"><span>Orders of one customer. <a class="name" style=${{ textDecoration: "underline" }} href="#/stores/orders">Show all orders</a></span></div>`;
  return html`<${Listing} key=${of} name=${`orders ${shop.id} ${of || ""}`} label="Orders" search="Order number or customer" placeholder="#1001" choices=${CHOICES} sort="created_at.desc" above=${only}
    empty=${of ? ["No orders of this customer", "None is among the orders that are here."] : ["No orders yet", "They appear as the sync reads them, the last days first, and as customers place them.", TO_SYNC]}
    heads=${[["Order"], ["Placed", "wide-only", "created_at"], ["Customer", "wide-only"], ["Payment", "wide-only"], ["Fulfilment", "wide-only"], ["Total now", "num", "current_total_price"]]}
    question=${async (from, to, { words: text, sort, payment, fulfilment, kind }) => {
      let asked = client.from("shop_orders").select(COLUMNS, { count: "estimated" }).eq("connection_id", shop.id);
      if (of) asked = asked.eq("customer_id", of);
      if (text) asked = asked.or(await matching(shop, text));
      if (payment) asked = asked.eq("financial_status", payment);
      if (fulfilment) asked = asked.eq("fulfillment_status", fulfilment);
      if (kind === "cancelled") asked = asked.not("cancelled_at", "is", null);
      if (kind === "edited" || kind === "test") asked = asked.is(kind, true);
      const rows = await ask(sorted(asked, sort).range(from, to));
      const names = await people(shop, [...new Set(rows.map((row) => row.customer_id).filter(Boolean))]);
      for (const row of rows) row.customer = names.get(row.customer_id) || null;
      return rows;
    }}
    row=${(o) => html`<${Row} key=${o.shopify_id} o=${o} shop=${shop} />`} />`;
}

function Marks({ o }) {
  return html`${o.test && html` <${Badge}>test<//>`}${o.cancelled_at && html` <${Badge} tone="bad">cancelled<//>`}${o.edited && html` <${Badge}>edited<//>`}`;
}

/** On a phone the order's cell carries what the columns say elsewhere. */
function Row({ o, shop }) {
  const paid = html`<${Badge} tone=${TONES[o.financial_status]}>${words(o.financial_status)}<//>`;
  const changed = Number(o.total_price) !== Number(o.current_total_price);
  const foreign = o.presentment_currency && o.presentment_currency !== o.currency;
  return html`<tr><td><a class="name" href=${`#/stores/orders/${o.shopify_id}`}>${o.name || o.shopify_id}</a><${Marks} o=${o} />${o.customer && html`<span class="sub phone-only">${o.customer}</span>`}<span class="sub phone-only">${when(o.created_at, shop.time_zone)}</span><span class="phone-only">${paid}</span></td>
    <td class="wide-only quiet nowrap">${when(o.created_at, shop.time_zone)}</td><td class="wide-only quiet">${o.customer || "–"}</td><td class="wide-only">${paid}</td><td class="wide-only quiet">${words(o.fulfillment_status)}</td>
    <td class="num"><strong>${price(o.current_total_price, o.currency)}</strong>${changed && html`<span class="sub">ordered ${price(o.total_price, o.currency)}</span>`}${foreign && html`<span class="sub">${price(o.presentment_current_total_price, o.presentment_currency)}</span>`}</td></tr>`;
}

/** Amounts added up without the error of binary fractions: no currency has more than four digits. */
export const added = (amounts) => amounts.reduce((sum, amount) => sum + Math.round(Number(amount) * 1e4), 0) / 1e4;

const MISSING = html`<div class="card"><${Empty} icon="page" title="There is no such order" action=${html`<a class="button" href="#/stores/orders">To the orders</a>`}>It is not of this shop, was deleted at Shopify, or has not been read yet.<//></div>`;

function One({ shop, id, tell }) {
  const known = /^\d{1,18}$/.test(id);
  const read = useAsk(known ? `order ${shop.id} ${id}` : null, async () => {
    const of = (table, columns) => client.from(table).select(columns).eq("connection_id", shop.id);
    const [order, lines, sales, refunds] = await Promise.all([
      ask(of("shop_orders", "*").eq("shopify_id", id).maybeSingle()),
      ask(of("shop_line_items", "*").eq("order_id", id).order("shopify_id")),
      ask(of("shop_sales", "*").eq("order_id", id).order("day").order("shopify_id")),
      ask(of("shop_refunds", "*").eq("order_id", id).order("shopify_id")),
    ]);
    return { order, lines, sales, refunds, names: order && order.customer_id ? await people(shop, [order.customer_id]) : new Map() };
  });
  useEffect(() => { tell(read.data && read.data.order ? read.data.order.name || id : ""); }, [read.data]);
  if (!known) return MISSING;
  if (!read.data) return html`<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`}</div>`;
  return read.data.order ? html`<${Order} shop=${shop} ...${read.data} />` : MISSING;
}

function Order({ shop, order: o, lines, sales, refunds, names }) {
  const foreign = o.presentment_currency && o.presentment_currency !== o.currency;
  const facts = [["Placed", when(o.created_at, shop.time_zone)], ["Changed", when(o.updated_at, shop.time_zone)], o.cancelled_at && ["Cancelled", when(o.cancelled_at, shop.time_zone)], ["Fulfilment", words(o.fulfillment_status)], o.source_name && ["Came by", o.source_name], o.tags.length > 0 && ["Tags", o.tags.join(", ")]];
  return html`<div class="stack"><dl class="stats"><${Stat} label="Total now" value=${price(o.current_total_price, o.currency)} note=${foreign ? price(o.presentment_current_total_price, o.presentment_currency) : ""} /><${Stat} label="As ordered" value=${price(o.total_price, o.currency)} note=${foreign ? price(o.presentment_total_price, o.presentment_currency) : ""} />
      <${Stat} label="Refunded" value=${price(o.total_refunded, o.currency)} note=${refunds.length ? `in ${count(refunds.length)} ${refunds.length > 1 ? "refunds" : "refund"}` : ""} /></dl>
    <section class="card"><div class="card-head"><h2>About it</h2><span class="row"><${Badge} tone=${TONES[o.financial_status]}>${words(o.financial_status)}<//><${Marks} o=${o} /></span></div>
      <dl class="facts">${facts.filter(Boolean).map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value}</dd></div>`)}
        <div><dt>Customer</dt><dd>${o.customer_id ? html`<a class="name" href=${`#/stores/orders?customer=${o.customer_id}`}>${names.get(o.customer_id) || o.customer_id}</a>` : "none named"}</dd></div></dl></section>
    <${Lines} lines=${lines} currency=${o.currency} /><${Ledger} order=${o} sales=${sales} lines=${lines} /></div>`;
}

function Lines({ lines, currency }) {
  return html`<section class="card flush"><div class="card-head"><h2>Lines</h2></div>${lines.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Lines"><table><thead><tr><th scope="col">Item</th><th class="num" scope="col">Ordered</th><th class="num" scope="col">Left</th><th class="num" scope="col">Price</th></tr></thead><tbody>
    ${lines.map((l) => html`<tr key=${l.shopify_id}><td>${l.title || "–"}<span class="sub">${[l.variant_title, l.sku].filter(Boolean).join(" · ")}</span></td><td class="num">${count(l.quantity)}</td><td class="num">${l.current_quantity === null ? "–" : count(l.current_quantity)}</td><td class="num">${price(l.unit_price, currency)}</td></tr>`)}</tbody></table></div>`
    : html`<${Empty} icon="page" title="No lines">The order has none, or the sync has not read them yet.<//>`}</section>`;
}

function Ledger({ order: o, sales, lines }) {
  const titles = new Map(lines.map((line) => [line.shopify_id, line.title]));
  const sum = added(sales.map((sale) => sale.amount));
  const apart = added([sum, -Number(o.current_total_price)]);
  const what = (s) => titles.get(s.line_item_id) || words(s.line_type);
  const state = !sales.length ? null : apart === 0 ? html`<${Badge} tone="good">ties to Shopify's total<//>` : html`<${Badge} tone="bad">${price(Math.abs(apart), o.currency)} apart from Shopify's total<//>`;
  return html`<section class="card flush"><div class="card-head"><div><h2>Ledger</h2><p>What each sale, edit, refund and return added; the sum is the total now.</p></div>${state}</div>
    ${sales.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Ledger"><table><thead><tr><th scope="col">What</th><th scope="col" class="wide-only">Day</th><th class="num wide-only" scope="col">Discount</th><th class="num wide-only" scope="col">Tax</th><th class="num" scope="col">Amount</th></tr></thead><tbody>
      ${sales.map((s) => html`<tr key=${s.shopify_id}><td>${what(s)}${s.quantity ? ` × ${count(s.quantity)}` : ""}<span class="sub">${words(s.reason)}<span class="phone-only">, ${day(s.day)}</span></span></td><td class="wide-only nowrap quiet">${day(s.day)}</td><td class="num wide-only quiet">${price(s.discount, s.currency)}</td><td class="num wide-only quiet">${price(s.tax, s.currency)}</td><td class="num">${price(s.amount, s.currency)}</td></tr>`)}
      <tr><td><strong>Sum</strong></td><td class="wide-only"></td><td class="wide-only"></td><td class="wide-only"></td><td class="num"><strong>${price(sum, o.currency)}</strong></td></tr></tbody></table></div>`
    : html`<${Empty} icon="page" title="No ledger yet">It comes with the full sync of the orders.<//>`}</section>`;
}
