// One event: its head, its four tabs, and the overview with prices, inventory, sales and the forecast.
import { html, useMemo, useState } from "../../static/names.js";
import { useRead } from "../../static/api.js";
import { Age, Badge, Change, Empty, Failure, Loaded, Segmented, Stat, Updated } from "../../static/ui.js";
import { AsTable, Legend, TimeChart } from "../../static/charts.js";
import { ago, count, duration, money, range, share, until, when } from "../../static/format.js";
import { Sections } from "./sections.js";
import { Listings } from "./listings.js";

const TABS = [["overview", "Overview"], ["sections", "Sections"], ["listings", "Listings"]];
const SPANS = [["0.125", "3 h"], ["1", "24 h"], ["3", "3 d"], ["7", "7 d"], ["30", "30 d"], ["365", "All"]];

const NONE = [];

export function Event({ id, tab, query, base }) {
  const read = useRead(`/api/events/${id}/snapshot`, {}, { event: id });
  if (!read.data && read.error) return html`<a class="crumb" href=${`${base}/events`}>← Events</a><div class="card"><${Failure} error=${read.error} retry=${read.reload} /></div>`;
  const event = read.data && read.data.event;
  const link = (name) => `${base}/events/${id}${name === "overview" ? "" : "/" + name}`;
  return html`<a class="crumb" href=${`${base}/events`}>← Events</a>
    <div class="head" style=${{ minHeight: "64px" }}>
      <div><h1>${event ? event.name : html`<span class="hidden">Event</span>\u00a0`}</h1>
        <p>${event ? html`${[event.venue, event.city, event.state].filter(Boolean).join(", ")} · ${when(event.starts_at, event.tz)} · <strong>${until(event.starts_at)}</strong>` : " "}</p></div>
      <div style=${{ width: "290px", maxWidth: "100%" }}><div class="tiny quiet" data-updated style=${{ marginBottom: "4px", minHeight: "18px" }}>${read.meta ? html`<${Updated} asOf=${read.meta.as_of} />, promised every ${duration(read.meta.promise_s)}` : " "}</div>
        ${read.meta ? html`<${Age} asOf=${read.meta.as_of} promise=${read.meta.promise_s} bare />` : html`<div class="age"><div class="bar"></div></div>`}</div>
    </div>
    <nav class="tabs" aria-label="About this event" style=${{ marginBottom: "16px" }}>${TABS.map(([name, text]) => html`<a class="tab" key=${name} href=${link(name)} aria-current=${name === tab ? "page" : undefined}>${text}</a>`)}</nav>
    ${tab === "sections" ? html`<${Sections} id=${id} base=${base} read=${read} />`
      : tab === "listings" ? html`<${Listings} id=${id} read=${read} query=${query} />`
      : html`<${Overview} id=${id} read=${read} />`}`;
}

function Overview({ id, read }) {
  const [zone, setZone] = useState("");
  const [chosen, setSpan] = useState(null);
  const zones = read.data ? read.data.zones : [];
  const mine = read.data && (zone ? zones.find((z) => z.zone === zone) : read.data.now);
  const currency = read.meta && read.meta.currency;
  const hour = Math.floor(Date.now() / 3600000);
  const days = chosen ? Number(chosen) : 7;
  const granularity = days > 30 ? "daily" : days < 1 ? "poll" : "hourly";
  const since = new Date((hour - 24 * Math.max(1, days)) * 3600000).toISOString();
  const rolled = useRead(`/api/events/${id}/series`, { zone, since, granularity: granularity === "daily" ? "daily" : "hourly" }, { event: id, quiet: 3000 });
  const polls = useRead(`/api/events/${id}/polls`, {}, { event: id, quiet: 2000 });
  // A young history is a few hours at most: then single polls say more than hours.
  const young = !chosen && rolled.data && rolled.data.length < 5 && polls.data && polls.data.length > 1;
  const close = (young || granularity === "poll") && !zone;
  const series = close ? { ...polls, data: polls.data && rowsOf(polls.data) } : rolled;
  const span = close && !chosen ? "0.125" : String(chosen || "7");
  const shape = { days: close ? 0.125 : days, granularity: close ? "poll" : granularity === "poll" ? "hourly" : granularity };
  const velocity = useRead(`/api/events/${id}/velocity`, { zone }, { event: id, quiet: 10000 });
  const forecast = useRead(`/api/events/${id}/forecast`, { zone }, { event: id, quiet: 30000 });
  const pace = velocity.data;
  const tz = read.data && read.data.event.tz;
  if (read.data && !read.data.now.total_listings && rolled.data && !rolled.data.length && polls.data && !polls.data.length) {
    return html`<div class="card"><${Empty} title="Nothing is known about this event yet">Its first accepted poll will appear here by itself. If none comes, see <a href="#/tickets/freshness" class="name">Freshness</a> for what went wrong.<//></div>`;
  }
  return html`<div class="stack">
    <dl class="stats">
      <${Stat} label="Get-in" color="var(--price)" value=${money(mine && mine.get_in, currency)} note="cheapest single ticket" />
      <${Stat} label="Pair" color="var(--pair)" value=${money(mine && mine.get_in_pair, currency)} note="each, two together" />
      <${Stat} label="Four" color="var(--four)" value=${money(mine && mine.get_in_four, currency)} note="each, four together" />
      <${Stat} label="Median" value=${money(mine && mine.median_price, currency)} note=${mine ? `average ${money(mine.avg_price, currency)}` : ""} />
      <${Stat} label="Tickets" value=${count(mine && mine.total_tickets)} note=${mine ? `${count(mine.total_listings)} listings` : ""} />
      <${Stat} label="Sold a day" value=${pace ? interval(pace.sold_per_day_lo, pace.sold_per_day_hi) : "–"} note=${pace ? (pace.observed_days < 0.25 ? "after 6 hours" : `over ${count(pace.observed_days, 1)} ${pace.observed_days < 1.05 && pace.observed_days >= 0.95 ? "day" : "days"}`) : ""} />
      <${Stat} label="Days of supply" value=${pace ? interval(pace.days_of_supply_lo, pace.days_of_supply_hi) : "–"} note="at that pace" />
    </dl>
    <div class="card">
      <div class="card-head"><div><h2>Price per ticket</h2><p>All-in. The band holds the middle half of what was listed.</p></div>
        <div class="row"><label class="field"><span class="hidden">Zone</span><select class="input" value=${zone} onChange=${(e) => setZone(e.target.value)}><option value="">Whole event</option>${zones.map((z) => html`<option key=${z.zone} value=${z.zone}>${z.zone}</option>`)}</select></label>
        <${Segmented} label="Time shown" options=${SPANS} value=${span} onChange=${setSpan} /></div></div>
      <${Loaded} read=${series} height=${359}>${(rows) => html`<${Prices} rows=${rows} forecast=${forecast.data} ...${shape} currency=${currency} tz=${tz} />`}<//>
    </div>
    <div class="pairs">
      <div class="card"><div class="card-head"><div><h2>Inventory</h2><p>Tickets on sale, averaged over observed time.</p></div></div>
        <${Loaded} read=${series} height=${220}>${(rows) => html`<${Stock} rows=${rows} ...${shape} tz=${tz} />`}<//></div>
      <div class="card"><div class="card-head"><div><h2>Tickets sold</h2><p>Solid: surely gone. Pale: at most, relists included.</p></div></div>
        <${Loaded} read=${rolled} height=${220}>${(rows) => html`<${Sold} rows=${rows} days=${Math.max(1, days)} granularity=${granularity === "daily" ? "daily" : "hourly"} tz=${tz} />`}<//></div>
    </div>
    <div class="cols">
      <div class="stack"><div class="card flush"><div class="card-head"><div><h2>Zones</h2></div></div><${Zones} zones=${zones} currency=${currency} onPick=${setZone} picked=${zone} /></div>
        <${Outlook} read=${forecast} currency=${currency} now=${mine} /></div>
      <${Exits} id=${id} zone=${zone} currency=${currency} />
    </div>
  </div>`;
}

/** Accepted polls as rows of the chart, oldest first. */
function rowsOf(polls) {
  return polls.filter((p) => p.status === "accepted" || p.status === "unchanged").reverse()
    .map((p) => ({ ...p, timestamp: p.observed_at, min_price: p.get_in, coverage: 1 }));
}

function interval(lo, hi) {
  if (lo == null && hi == null) return "–";
  if (hi == null) return `≥ ${count(lo, lo < 10 ? 1 : 0)}`;
  if (lo == null) return `≤ ${count(hi, hi < 10 ? 1 : 0)}`;
  const digits = hi < 10 ? 1 : 0;
  return count(lo, digits) === count(hi, digits) ? count(lo, digits) : `${count(lo, digits)}–${count(hi, digits)}`;
}

/** Rows on a regular grid up to now, so that hours nobody observed are gaps. → {times, at(field)} */
function useGrid(rows, days, granularity, extra = NONE, tail = 0) {
  return useMemo(() => {
    const step = granularity === "daily" ? 86400 : 3600;
    const byTime = new Map(rows.map((row) => [Date.parse(row.timestamp) / 1000, row]));
    const known = [...byTime.keys()];
    if (!known.length) return { times: [], at: () => [], rows: [] };
    const now = Math.floor(Date.now() / 3600000) * 3600;
    const first = Math.min(...known);
    const last = Math.max(now, ...known);
    let times = known;
    if (granularity === "hourly") {
      times = [];
      for (let t = Math.min(Math.max(first, now - days * 86400), last - 11 * step); t <= last + tail * step; t += step) times.push(t);
    }
    times = [...new Set([...times, ...extra.map((p) => Date.parse(p.timestamp) / 1000)])].sort((a, b) => a - b);
    const lined = times.map((t) => byTime.get(t));
    return { times, rows: lined, at: (field) => lined.map((row) => (row && row[field] != null ? Number(row[field]) : null)) };
  }, [rows, days, granularity, extra]);
}

function Prices({ rows, forecast, days, granularity, currency, tz }) {
  const [ahead, setAhead] = useState(true);
  const points = ahead && days >= 1 && days <= 30 && forecast && forecast.status === "ok" ? forecast.points : NONE;
  const grid = useGrid(rows, days, granularity, points);
  const lines = useMemo(() => {
    const byTime = new Map(points.map((p) => [Date.parse(p.timestamp) / 1000, p]));
    const future = (field) => grid.times.map((t) => (byTime.has(t) ? Number(byTime.get(t)[field]) : null));
    const join = (values) => {
      let last = -1;
      grid.rows.forEach((row, i) => { if (row && row.get_in != null) last = i; });
      const start = values.findIndex((v) => v != null);
      if (start > last && last >= 0) for (let i = last; i < start; i += 1) values[i] = Number(grid.rows[last].get_in);
      return values;
    };
    return [
      { label: "Four together", color: "--four", values: grid.at("get_in_four"), width: 1.4 },
      { label: "Pair", color: "--pair", values: grid.at("get_in_pair"), width: 1.4 },
      { label: "Three quarters below", color: "--price", values: grid.at("p75"), hidden: true, swatch: "--band" },
      { label: "Median", color: "--stock", values: grid.at("median_price"), width: 1.2, dash: [4, 4] },
      { label: "One quarter below", color: "--price", values: grid.at("p25"), hidden: true, swatch: "--band" },
      // the cheapest of the hour, as the pair and the four are: a closing price could lie above them
      { label: "Get-in", color: "--price", values: grid.at("min_price"), width: 2.4 },
      { label: "Forecast, high", color: "--forecast", values: points.length ? join(future("hi")) : grid.times.map(() => null), hidden: true, swatch: "--forecast-band" },
      { label: "Forecast", color: "--forecast", values: points.length ? join(future("price")) : grid.times.map(() => null), width: 1.6, dash: [2, 4] },
      { label: "Forecast, low", color: "--forecast", values: points.length ? join(future("lo")) : grid.times.map(() => null), hidden: true, swatch: "--forecast-band" },
    ];
  }, [grid, points]);
  if (!grid.times.length) return html`<${Empty} title="No prices in this time">Choose a longer time above.<//>`;
  const now = Date.now() / 1000;
  const last = rows[rows.length - 1];
  return html`<div class="row spread" style=${{ minHeight: "28px" }}><${Legend} items=${[["Get-in", "--price"], ["Pair", "--pair"], ["Four", "--four"], ["Median", "--stock"], ["Middle half", "--band", true], ...(points.length ? [["Forecast", "--forecast-band", true]] : [])]} />
      ${days >= 1 && days <= 30 && forecast && forecast.status === "ok" && html`<label class="small quiet row" style=${{ gap: "6px" }}><input type="checkbox" checked=${ahead} onChange=${(e) => setAhead(e.target.checked)} />Forecast</label>`}</div>
    <${TimeChart} times=${grid.times} lines=${lines} bands=${[[2, 4, "--band"], [6, 8, "--forecast-band"]]} height=${300} group="event" tz=${tz}
      format=${(v) => money(v, currency)} title=${(t) => when(new Date(t * 1000).toISOString(), tz, granularity === "daily" ? "day" : granularity === "poll" ? "minute" : "hour")}
      marks=${points.length ? [{ at: now, label: "now" }] : []}
      label=${`Prices over time. Get-in is now ${money(last && last.get_in, currency)}, median ${money(last && last.median_price, currency)}.`} />
    <${AsTable} head=${["Time", "Get-in", "Pair", "Four", "Median", "Average", "Observed"]} rows=${rows.map((r) => [when(r.timestamp, tz, granularity === "daily" ? "day" : granularity === "poll" ? "minute" : "hour"), money(r.min_price, currency), money(r.get_in_pair, currency), money(r.get_in_four, currency), money(r.median_price, currency), money(r.avg_price, currency), share(r.coverage)])} />`;
}

function Stock({ rows, days, granularity, tz }) {
  const grid = useGrid(rows, days, granularity, NONE);
  const lines = useMemo(() => [{ label: "Tickets", color: "--stock", fill: "--stock-fill", values: grid.at("total_tickets"), width: 1.8 }, { label: "Listings", color: "--four", values: grid.at("total_listings"), width: 1.2 }], [grid]);
  if (!grid.times.length) return html`<${Empty} title="No inventory in this time">Choose a longer time above.<//>`;
  return html`<${Legend} items=${[["Tickets", "--stock"], ["Listings", "--four"]]} />
    <${TimeChart} times=${grid.times} lines=${lines} height=${190} zero group="event" tz=${tz} format=${(v) => count(v)}
      title=${(t) => when(new Date(t * 1000).toISOString(), tz, granularity === "daily" ? "day" : granularity === "poll" ? "minute" : "hour")} label="Tickets and listings on sale over time" />`;
}

function Sold({ rows, days, granularity, tz }) {
  const grid = useGrid(rows, days, granularity, NONE, 1);  // one more hour, so that the last bar has room
  const lines = useMemo(() => [{ label: "At most", color: "--sold", fill: "--sold-soft", swatch: "--sold-soft", values: grid.at("sold_hi"), kind: "bars" }, { label: "Surely", color: "--sold", fill: "--sold", values: grid.at("sold_lo"), kind: "bars" }], [grid]);
  if (!grid.times.length) return html`<${Empty} title="No sales inferred in this time">Choose a longer time above.<//>`;
  return html`<${Legend} items=${[["Surely sold", "--sold", true], ["At most", "--sold-soft", true]]} />
    <${TimeChart} times=${grid.times} lines=${lines} height=${190} zero group="event" tz=${tz} format=${(v) => count(v)}
      title=${(t) => when(new Date(t * 1000).toISOString(), tz, granularity === "daily" ? "day" : granularity === "poll" ? "minute" : "hour")} label="Tickets sold per hour, low and high estimate" />`;
}

function Zones({ zones, currency, onPick, picked }) {
  const most = Math.max(1, ...zones.map((z) => z.total_tickets));
  if (!zones.length) return html`<${Empty} title="Nothing is on sale now">Zones appear with the next accepted poll that has listings.<//>`;
  return html`<div class="scroll"><table><thead><tr><th scope="col">Zone</th><th class="num" scope="col">Get-in</th><th class="num" scope="col">Pair</th><th class="num wide-only" scope="col">Median</th><th class="num" scope="col">Tickets</th><th class="wide-only" scope="col"><span class="hidden">Share of the largest zone</span></th></tr></thead>
    <tbody>${zones.map((z) => html`<tr key=${z.zone}><td><button class="button plain" style=${{ minHeight: "28px", padding: "0 8px", marginLeft: "-8px" }} aria-pressed=${String(z.zone === picked)} onClick=${() => { onPick(z.zone === picked ? "" : z.zone); scrollTo({ top: 0, behavior: "smooth" }); }}>${z.zone}</button></td>
      <td class="num"><strong>${money(z.get_in, currency)}</strong></td><td class="num">${money(z.get_in_pair, currency)}</td><td class="num wide-only">${money(z.median_price, currency)}</td><td class="num">${count(z.total_tickets)}</td>
      <td class="wide-only" style=${{ width: "22%" }}><div class="age" style=${{ gridTemplateColumns: "1fr", minWidth: "60px" }}><div class="bar"><i style=${{ width: `${(100 * z.total_tickets) / most}%`, background: "var(--stock)" }}></i></div></div></td></tr>`)}</tbody></table></div>`;
}

function Outlook({ read, currency, now }) {
  return html`<div class="card"><div class="card-head"><h2>Forecast</h2>${read.data && read.data.status === "ok" && html`<${Badge}>${share(read.data.interval)} interval<//>`}</div>
    <${Loaded} read=${read} height=${120}>${(f) => {
      if (f.status !== "ok") return html`<p class="quiet small">${f.status === "over" ? "The event is over." : `Not enough history for an honest forecast: ${f.reason}`}</p>`;
      const end = f.points[f.points.length - 1];
      const b = f.backtest;
      const moved = now && now.get_in ? (100 * (end.price - now.get_in)) / now.get_in : null;
      return html`<p><strong style=${{ fontSize: "20px" }}>${money(end.price, currency)}</strong> <span class="quiet">get-in ${when(end.timestamp, null, "hour")}</span> <${Change} value=${moved} /></p>
        <p class="small quiet">Between ${money(end.lo, currency)} and ${money(end.hi, currency)}. ${b ? html`On ${count(b.origins)} held-out starts within this history the method was off by ${money(b.mae, currency)} on average (${share(b.mape / 100, 1)}); keeping today's price would have been off by ${money(b.naive_mae, currency)}. ${b.covered != null ? `${share(b.covered)} fell inside the interval.` : ""}` : ""}</p>
        <p class="tiny quiet">${f.method}</p>`;
    }}<//></div>`;
}

const EXIT = { sold: ["good", "sold"], unsure: ["warn", "not sure"], frozen: ["", "not judged"] };

function Exits({ id, zone, currency }) {
  const read = useRead(`/api/events/${id}/exits`, { zone, limit: 12 }, { event: id, quiet: 5000 });
  return html`<div class="card"><div class="card-head"><div><h2>Last to leave</h2><p>${read.meta && read.meta.sold_hi != null ? `${range(read.meta.sold_lo, read.meta.sold_hi)} tickets sold in 24 h` : " "}</p></div></div>
    <${Loaded} read=${read} height=${240} empty=${html`<p class="quiet small">No listing left in the last 24 hours.</p>`}>${(rows) => html`<ul>${rows.map((x) => {
      const [tone, word] = EXIT[x.kind] || ["", x.kind];
      return html`<li key=${x.listing_id + x.gone_at} class="row spread line" style=${{ flexWrap: "nowrap" }}>
        <span style=${{ minWidth: 0 }}>${count(x.quantity)} × ${x.section || x.zone}<span class="sub">${x.row ? `Row ${x.row} · ` : ""}${ago((Date.now() - Date.parse(x.gone_at)) / 1000)}</span></span>
        <span class="nowrap"><strong>${money(x.price, currency)}</strong> <${Badge} tone=${tone}>${word}<//></span></li>`;
    })}</ul>`}<//></div>`;
}

