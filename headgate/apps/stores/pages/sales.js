// Sales of a shop by its own day: what was sold, taken back and is left, beside an earlier period.
import { html, useMemo, useState } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { AsTable, Legend, TimeChart } from "../../static/charts.js";
import { Empty, Failure, Segmented, Stale, Stat } from "../../static/ui.js";
import { Bones, Progress } from "../../static/widgets.js";
import { count } from "../../static/format.js";
import { TO_SYNC, useKept } from "./listing.js";
import { ShopPage, day as dayText, price } from "./brand.js";
import { FIGURES, GOOD, Meanings, NAMES, SHOWN, SIGNS } from "./figures.js";

const SPANS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"], ["own", "Other"]];
const BEFORE = [["previous", "Period before"], ["year", "A year before"], ["none", "Nothing"]];
const MEASURES = [["total", "Total"], ["net", "Net"], ["gross", "Gross"]];
const DAY = 86400000;
const LONGEST = 1100;

/** The shop's today, as yyyy-mm-dd. */
const today = (zone) => new Intl.DateTimeFormat("en-CA", { timeZone: zone || "UTC" }).format(new Date());
const shift = (day, days) => new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY).toISOString().slice(0, 10);
const between = (first, last) => Math.round((Date.parse(last) - Date.parse(first)) / DAY) + 1;

export default function Sales({ who }) {
  return html`<${ShopPage} who=${who} title="Sales" about=${(shop) => `days in ${shop.time_zone}`}>${(shop) => html`<${Shop} key=${shop.id} shop=${shop} />`}<//>`;
}

/** The days that are shown and those that they are compared with (`before` is null for none, or where orders are unknown). */
function period(shop, wish, now) {
  let [first, last] = [shift(now, 1 - (Number(wish.span) || 30)), now];
  if (wish.span === "own") {
    last = wish.last && wish.last <= now ? wish.last : now;
    first = wish.first && wish.first <= last ? wish.first : last;
    if (between(first, last) > LONGEST) first = shift(last, 1 - LONGEST);
  }
  const days = between(first, last);
  // Whole weeks, so that a Saturday is compared with a Saturday.
  const start = wish.before === "none" ? null : shift(first, wish.before === "year" ? -364 * Math.ceil(days / 364) : -days);
  const from = shop.coverage.orders === "60_days" ? (shop.coverage.orders_from || shift(shop.connected_at.slice(0, 10), -60)).slice(0, 10) : null;
  return { first, last, days, now, from, before: start && from && start < from ? null : start, uncovered: Boolean(start && from && start < from) };
}

function Shop({ shop }) {
  const [wish, keep] = useKept(`sales ${shop.id}`, { span: "30", before: "previous", measure: "total", currency: null, first: "", last: "" });
  const now = today(shop.time_zone);
  const at = period(shop, wish, now);
  const read = useAsk(`sales ${shop.id} ${at.first} ${at.last} ${at.before}`, () => question(shop, at), { every: 15000 });
  const change = (what) => keep({ ...wish, ...what });
  const currencies = read.data ? [...new Set(read.data.rows.map((row) => row.currency))] : [];
  const currency = currencies.includes(wish.currency) ? wish.currency : currencies.includes(shop.currency) ? shop.currency : currencies[0] || shop.currency;
  const choice = html`<${Choice} wish=${wish} at=${at} change=${change} currencies=${currencies} currency=${currency} />`;
  if (!read.data) return html`${choice}<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${12} />`}</div>`;
  if (!read.data.rows.length) return html`${choice}<${Standing} orders=${read.data.orders} /><div class="card"><${NoSales} orders=${read.data.orders} /></div>`;
  return html`${choice}<${Stale} error=${read.error} retry=${read.reload} /><${Standing} orders=${read.data.orders} at=${at} />
    <${Period} rows=${read.data.rows.filter((row) => row.currency === currency)} at=${at} currency=${currency} measure=${wish.measure} onMeasure=${(measure) => change({ measure })} />`;
}

function NoSales({ orders }) {
  if (orders && orders.status === "completed") return html`<${Empty} icon="page" title="No sales in this period">Every order of the shop is here, and none was sold or taken back in these days. Choose a longer period.<//>`;
  return html`<${Empty} icon="page" title="No sales in this period" action=${TO_SYNC}>Choose a longer period, or wait until the shop's orders are here.<//>`;
}

async function question(shop, { first, last, days, before }) {
  const ranges = [[first, last], ...(before ? [[before, shift(before, days - 1)]] : [])];
  const rows = async () => {
    const found = [];
    for (let from = 0; ; from += 1000) {
      const some = await ask(client.from("shop_daily_sales").select("*").eq("connection_id", shop.id).or(ranges.map(([a, z]) => `and(day.gte.${a},day.lte.${z})`).join(",")).order("day").order("currency").range(from, from + 999));
      found.push(...some);
      if (some.length < 1000) return found;
    }
  };
  const [sold, orders] = await Promise.all([rows(), ask(client.from("shop_milestones").select("status,rows_written,total_rows").eq("connection_id", shop.id).eq("label", "orders").maybeSingle())]);
  return { rows: sold, orders };
}

function Choice({ wish, at, change, currencies, currency }) {
  const date = (label, name, value) => html`<label class="field">${label}<input class="input" type="date" value=${value} max=${at.now} onChange=${(e) => change({ [name]: e.target.value })} /></label>`;
  return html`<div class="filters"><${Segmented} label="Period" options=${SPANS} value=${wish.span} onChange=${(span) => change({ span, ...(span === "own" ? { first: at.first, last: at.last } : {}) })} />
      ${wish.span === "own" && html`${date("From", "first", at.first)}${date("To", "last", at.last)}`}
      <label class="field">Compared with<select class="input" value=${wish.before} onChange=${(e) => change({ before: e.target.value })}>${BEFORE.map(([id, text]) => html`<option key=${id} value=${id}>${text}</option>`)}</select></label>
      ${currencies.length > 1 && html`<label class="field">Currency<select class="input" value=${currency} onChange=${(e) => change({ currency: e.target.value })}>${currencies.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>`}</div>`;
}

/** Figures that are not final say so, and why. */
function Standing({ orders, at }) {
  const link = html` <a class="name" style=${{ textDecoration: "underline" }} href="#/stores/progress">How the sync stands</a>`;
  if (orders && ["pending", "queued", "in_progress"].includes(orders.status)) return html`<div class="note" role="note" style=${{ display: "block" }}><span>The shop's orders are still being read; the figures grow until all are here.${link}</span><div style=${{ marginTop: "8px" }}><${Progress} label="Orders read" seen=${Math.min(orders.rows_written, orders.total_rows * 0.99)} expected=${orders.total_rows || 0} /></div></div>`;
  if (orders && ["partial", "error"].includes(orders.status)) return html`<div class="note" role="note"><span>The last sync did not read every order; the figures may be too low.${link}</span></div>`;
  if (at && at.from && (at.uncovered || at.first < at.from)) return html`<div class="note" role="note"><span>Shopify shows this app the orders since ${dayText(at.from)} only. ${at.first < at.from ? "Earlier days are not complete." : "There is nothing complete to compare this period with."}</span></div>`;
  return null;
}

/** How much more or less, as a share; as a multiple where a percentage would say nothing. */
function Growth({ now, before, good = 1 }) {
  if (!before || now === null) return html`<span class="flat">–</span>`;
  const part = now / before - 1;
  if (Math.abs(part) < 0.0005) return html`<span class="flat">0 %</span>`;
  if (before < 0) return html`<span class="flat">was below zero</span>`;
  // More sales are good news, so the colours are the other way round than for prices; most figures are neither.
  const tone = good === 0 ? "flat" : part * good > 0 ? "down" : "up";
  const text = part >= 10 ? `× ${count(part + 1)}` : `${count(Math.abs(part) * 100, Math.abs(part) < 0.1 ? 1 : 0)} %`;
  return html`<span class=${`nowrap ${tone}`}>${part > 0 ? "▲" : "▼"} ${text}<span class="hidden">${part > 0 ? " more" : " less"} than before</span></span>`;
}

function sums(by, from, days) {
  const made = Object.fromEntries(FIGURES.map((name) => [name, 0]));
  for (let i = 0; i < days; i += 1) { const row = by.get(shift(from, i)); if (row) for (const name of FIGURES) made[name] += Math.round(Number(row[name]) * 1e4); }
  for (const name of FIGURES) made[name] /= 1e4;
  made.average = made.orders ? (made.gross - made.discounts) / made.orders : null;
  return made;
}

function Period({ rows, at, currency, measure, onMeasure }) {
  const { first, days, before: start } = at;
  const made = useMemo(() => {
    const by = new Map(rows.map((row) => [row.day, row]));
    // A day without a sale has no row: it is a zero, not a gap.
    const line = (from, name) => Array.from({ length: days }, (_, i) => Number((by.get(shift(from, i)) || {})[name] || 0));
    return { now: sums(by, first, days), before: start && sums(by, start, days), series: line(first, measure), orders: line(first, "orders"), past: start && line(start, measure) };
  }, [rows, first, days, start, measure]);
  const times = useMemo(() => Array.from({ length: days }, (_, i) => Date.parse(`${shift(first, i)}T00:00:00Z`) / 1000), [first, days]);
  const { now, before } = made;
  const nth = (from) => (stamp) => dayText(shift(from, Math.round((stamp - times[0]) / 86400)), { weekday: "short", day: "numeric", month: "short" });
  const title = (stamp) => `${nth(first)(stamp)}${start ? ` · before: ${nth(start)(stamp)}` : ""}`;
  const short = (value) => price(value, currency, { notation: "compact", maximumFractionDigits: 1 });
  const money = (v) => price(v, currency);
  const stat = (label, name) => html`<${Stat} label=${label} value=${name === "orders" ? count(now.orders) : money(now[name])} note=${before && html`<${Growth} now=${now[name]} before=${before[name]} />`} />`;
  const name = NAMES[measure];
  const lines = [...(start ? [{ label: "Before", color: "--axis", values: made.past, dash: [4, 4], width: 1.4, format: money }] : []), { label: name, color: "--price", values: made.series, width: 2.2, format: money }];
  const marks = at.last === at.now && days > 1 ? [{ at: times[days - 1], label: "today so far" }] : [];
  const range = (from) => `${dayText(from, { day: "numeric", month: "short" })} – ${dayText(shift(from, days - 1))}`;
  return html`<div class="stack"><dl class="stats">${stat("Total sales", "total")}${stat("Net sales", "net")}${stat("Orders", "orders")}${stat("Average order", "average")}</dl>
    <section class="card"><div class="card-head"><div><h2>${name} by day</h2><p>${range(first)}${start ? `, compared with ${range(start)}` : ""}</p></div><${Segmented} label="Figure shown" options=${MEASURES} value=${measure} onChange=${onMeasure} /></div>
      ${start && html`<${Legend} items=${[["This period", "--price"], ["Before", "--axis"]]} />`}
      <${TimeChart} times=${times} lines=${lines} marks=${marks} height=${280} format=${short} title=${title} label=${`${name} by day`} tz="UTC" zero=${true} group="sales" />
      <${AsTable} head=${["Day", name, ...(start ? ["Before"] : []), "Orders"]} rows=${times.map((stamp, i) => [nth(first)(stamp), money(made.series[i]), ...(start ? [money(made.past[i])] : []), count(made.orders[i])])} /></section>
    <div class="cols"><${Sum} now=${now} before=${before} currency=${currency} />
      <div class="stack"><section class="card"><div class="card-head"><h2>Orders by day</h2></div><${TimeChart} times=${times} lines=${[{ label: "Orders", color: "--price", fill: "--price", kind: "bars", align: 0, values: made.orders }]} height=${180} format=${(v) => (Number.isInteger(v) ? count(v) : "")} title=${nth(first)} label="Orders by day" tz="UTC" zero=${true} group="sales" /></section>
        <${Meanings} /></div></div></div>`;
}

/** From gross to total, with the signs that make it add up. */
function Sum({ now, before, currency }) {
  const told = (sum, name) => price((SIGNS[name] || 1) * sum[name] || 0, currency);
  const line = (name, i) => {
    const main = name === "net" || name === "total";
    const look = { fontWeight: main ? 640 : 450, color: "var(--ink-2)", fontSize: "13.5px", whiteSpace: "normal", ...(i === SHOWN.length - 1 ? { borderBottom: 0 } : {}) };
    return html`<tr key=${name}><th scope="row" style=${look}>${NAMES[name]}</th><td class="num" style=${{ fontWeight: main ? 640 : 450 }}>${told(now, name)}</td>
      ${before && html`<td class="num wide-only quiet">${told(before, name)}</td><td class="num"><${Growth} now=${now[name]} before=${before[name]} good=${GOOD[name] || 0} /></td>`}</tr>`;
  };
  return html`<section class="card flush"><div class="card-head"><h2>How the total comes about</h2></div><div class="scroll" tabindex="0" role="region" aria-label="How the total comes about"><table><thead><tr><th scope="col">Figure</th><th scope="col" class="num">This period</th>${before && html`<th scope="col" class="num wide-only">Before</th><th scope="col" class="num">Change</th>`}</tr></thead>
    <tbody>${SHOWN.map(line)}</tbody></table></div></section>`;
}
