// Sales of a shop by its own day: what was sold, taken back and is left, beside the period before.
import { html, useMemo, useState } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { AsTable, Legend, TimeChart } from "../../static/charts.js";
import { Empty, Failure, Segmented, Stat } from "../../static/ui.js";
import { Bones } from "../../static/widgets.js";
import { change, count } from "../../static/format.js";
import { ShopPage, price } from "./brand.js";

const SPANS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"]];
const SUMS = ["gross", "discounts", "reversals", "net", "shipping", "taxes", "duties", "fees", "total", "tips", "gift_cards", "orders"];
const WORDS = { gross: "Gross sales", discounts: "Discounts", reversals: "Returns", net: "Net sales", shipping: "Shipping", taxes: "Taxes", duties: "Duties", fees: "Fees", total: "Total sales", tips: "Tips (apart)", gift_cards: "Gift cards sold (apart)" };
const DAY = 86400000;

/** The shop's today, as yyyy-mm-dd. */
const today = (zone) => new Intl.DateTimeFormat("en-CA", { timeZone: zone || "UTC" }).format(new Date());
const shift = (day, days) => new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY).toISOString().slice(0, 10);

export default function Sales({ who }) {
  return html`<${ShopPage} who=${who} title="Sales" about="by the shop's own day">${(shop) => html`<${Shop} key=${shop.id} shop=${shop} />`}<//>`;
}

function Shop({ shop }) {
  const [span, setSpan] = useState("30");
  const [chosen, choose] = useState(null);
  const last = today(shop.time_zone);
  const days = Number(span);
  const first = shift(last, 1 - days);
  const read = useAsk(`sales ${shop.id} ${span} ${last}`, async () => {
    const found = [];
    for (let from = 0; ; from += 1000) {
      const rows = await ask(client.from("shop_daily_sales").select("*").eq("connection_id", shop.id).gte("day", shift(first, -days)).lte("day", last).order("day").order("currency").range(from, from + 999));
      found.push(...rows);
      if (rows.length < 1000) return found;
    }
  }, { every: 15000 });
  const choice = html`<div class="filters" style=${{ marginBottom: "16px" }}><${Segmented} label="Period" options=${SPANS} value=${span} onChange=${setSpan} /></div>`;
  if (!read.data) return html`${choice}<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${10} />`}</div>`;
  const currencies = [...new Set(read.data.map((row) => row.currency))];
  const currency = currencies.includes(chosen) ? chosen : currencies.includes(shop.currency) ? shop.currency : currencies[0];
  if (!currency) return html`${choice}<div class="card"><${Empty} icon="page" title="No sales in this period" action=${html`<a class="button" href="#/stores/progress">How the sync stands</a>`}>Choose a longer period, or wait until the shop's orders are here.<//></div>`;
  return html`${choice}${currencies.length > 1 && html`<div class="filters"><${Segmented} label="Currency" options=${currencies.map((c) => [c, c])} value=${currency} onChange=${choose} /></div>`}
    <${Period} rows=${read.data.filter((row) => row.currency === currency)} first=${first} days=${days} currency=${currency} shop=${shop} />`;
}

/** More sales are good news, so the colours are the other way round than for prices. */
function Growth({ value, label }) {
  if (value === null) return html`<span class="flat">no period before to compare</span>`;
  const tone = Math.abs(value) < 0.05 ? "flat" : value > 0 ? "down" : "up";
  return html`<span class=${`nowrap ${tone}`}>${tone === "flat" ? "" : value > 0 ? "▲ " : "▼ "}${change(value)} ${label}</span>`;
}

function Period({ rows, first, days, currency, shop }) {
  const { now, before, series, past } = useMemo(() => {
    const by = new Map(rows.map((row) => [row.day, row]));
    const sum = (from) => {
      const made = Object.fromEntries(SUMS.map((name) => [name, 0]));
      for (let i = 0; i < days; i += 1) { const row = by.get(shift(from, i)); if (row) for (const name of SUMS) made[name] += Number(row[name]); }
      return made;
    };
    const line = (from, name) => Array.from({ length: days }, (_, i) => { const row = by.get(shift(from, i)); return row ? Number(row[name]) : 0; });
    return { now: sum(first), before: sum(shift(first, -days)), series: { total: line(first, "total"), orders: line(first, "orders") }, past: line(shift(first, -days), "total") };
  }, [rows, first, days]);
  const times = useMemo(() => Array.from({ length: days }, (_, i) => Date.parse(`${shift(first, i)}T00:00:00Z`) / 1000), [first, days]);
  const grew = (name) => (before[name] ? 100 * (now[name] / before[name] - 1) : null);
  const average = (sums) => (sums.orders ? (sums.gross + sums.discounts) / sums.orders : null);
  const average_growth = average(before) && average(now) ? 100 * (average(now) / average(before) - 1) : null;
  const day = (at) => new Date(at * 1000).toLocaleDateString(undefined, { timeZone: "UTC", weekday: "short", day: "numeric", month: "short" });
  const short = (value) => new Intl.NumberFormat(undefined, { style: "currency", currency, notation: "compact", maximumFractionDigits: 1 }).format(value);
  const stat = (label, name) => html`<${Stat} label=${label} value=${name === "orders" ? count(now.orders) : price(now[name], currency)} note=${html`<${Growth} value=${grew(name)} label="on the period before" />`} />`;
  const lines = [
    { label: "Period before", color: "--axis", values: past, dash: [4, 4], width: 1.4, format: (v) => price(v, currency) },
    { label: "Total sales", color: "--price", values: series.total, width: 2.2, format: (v) => price(v, currency) },
  ];
  return html`<div class="stack"><section class="card"><div class="card-head"><div><h2>Total sales</h2><p>Each day in ${shop.time_zone}</p></div><${Legend} items=${[["This period", "--price"], ["Period before", "--axis"]]} /></div>
      <${TimeChart} times=${times} lines=${lines} height=${280} format=${short} title=${day} label="Total sales by day" tz="UTC" zero=${true} group="sales" />
      <${AsTable} head=${["Day", "Total sales", "Period before", "Orders"]} rows=${times.map((at, i) => [day(at), price(series.total[i], currency), price(past[i], currency), count(series.orders[i])])} /></section>
    <dl class="stats">${stat("Total sales", "total")}${stat("Net sales", "net")}${stat("Orders", "orders")}<${Stat} label="Average order" value=${price(average(now), currency)} note=${html`<${Growth} value=${average_growth} label="on the period before" />`} /></dl>
    <div class="pairs"><section class="card"><div class="card-head"><h2>Orders</h2></div><${TimeChart} times=${times} lines=${[{ label: "Orders", color: "--price", fill: "--price", kind: "bars", align: 0, values: series.orders }]} height=${200} format=${(v) => count(v)} title=${day} label="Orders by day" tz="UTC" zero=${true} group="sales" /></section>
      <section class="card flush"><div class="card-head"><h2>How the total comes about</h2></div><table><tbody>${Object.keys(WORDS).map((name) => html`<tr key=${name}><th scope="row" style=${{ fontWeight: name === "net" || name === "total" ? 600 : 400 }}>${WORDS[name]}</th><td class="num" style=${{ fontWeight: name === "net" || name === "total" ? 600 : 400 }}>${price(now[name], currency)}</td></tr>`)}</tbody></table></section></div></div>`;
}
