// The events: what a ticket costs now, where it is going, and how old that knowledge is. Opens one event's pages.
import { html, useState } from "../../static/names.js";
import { useRead } from "../../static/api.js";
import { Age, Badge, Change, Empty, Loaded, Segmented, Stat, useSettled } from "../../static/ui.js";
import { Spark } from "../../static/charts.js";
import { count, duration, money, range, share, until, when } from "../../static/format.js";
import { Event } from "./event.js";

export default function Events({ rest, query, base }) {
  return rest.length ? html`<${Event} id=${Number(rest[0])} tab=${rest[1] || "overview"} query=${query} base=${base} />` : html`<${List} base=${base} />`;
}

const VIEWS = [["starts_at.asc", "Soonest"], ["change_24h.asc", "Falling"], ["change_24h.desc", "Rising"], ["sold_hi_24h.desc", "Selling"]];

function List({ base }) {
  const [words, setWords] = useState("");
  const [order, setOrder] = useState("starts_at.asc");
  const [shown, setShown] = useState(50);
  const name = useSettled(words.trim());
  const read = useRead("/api/screen", {
    active_eq: true, spark: true, limit: shown, order, name_like: name ? `%${name.replace(/[%_\\]/g, "\\$&")}%` : null,
  }, { event: "any", quiet: 4000 });
  const fresh = useRead("/api/freshness", { limit: 1 }, { event: "any", quiet: 10000 });
  const summary = fresh.meta && fresh.meta.summary;
  return html`<div class="head"><div><h1>Events</h1><p>Prices are all-in, per ticket. The bar shows how old the last observation is against its promise.</p></div></div>
    <dl class="stats" style=${{ marginBottom: "16px" }}>
      <${Stat} label="Events watched" value=${summary ? count(summary.events) : "–"} note=${summary ? `${count(summary.within)} within their promise` : ""} />
      <${Stat} label="Kept promise, 24 h" value=${summary ? share(summary.service_24h, 1) : "–"} note="share of event-minutes" />
      <${Stat} label="Typical age" value=${summary ? duration(summary.age_p50_s) : "–"} note=${summary && summary.age_p95_s != null ? `95 % below ${duration(summary.age_p95_s)}` : ""} />
      <${Stat} label="Tickets on sale" value=${summary ? count(summary.tickets) : "–"} note=${summary ? `${count(summary.listings)} listings` : ""} />
      <${Stat} label="Sold, 24 h" value=${summary ? range(summary.sold_lo_24h, summary.sold_hi_24h) : "–"} note="inferred, as an interval" />
    </dl>
    <div class="row spread" style=${{ marginBottom: "12px" }}>
      <label class="field" style=${{ flex: "1 1 220px", maxWidth: "340px" }}><span class="hidden">Search events by name</span><input class="input" type="search" placeholder="Search events" value=${words} onInput=${(e) => setWords(e.target.value)} /></label>
      <${Segmented} label="Order" options=${VIEWS} value=${order} onChange=${setOrder} />
    </div>
    <div class="card flush"><${Loaded} read=${read} height=${520} empty=${html`<${None} filtered=${Boolean(name)} clear=${() => setWords("")} />`}>
      ${(rows, meta) => html`<${Table} rows=${rows} base=${base} />${meta.total > rows.length && html`<div class="row" style=${{ justifyContent: "center", padding: "14px" }}>
        ${shown < 100 ? html`<button class="button" onClick=${() => setShown(100)}>Show ${Math.min(100, meta.total) - rows.length} more</button>` : html`<span class="quiet small">The first 100 of ${count(meta.total)}. Search to narrow, or use the screener.</span>`}</div>`}`}
    <//></div>`;
}

function None({ filtered, clear }) {
  return filtered
    ? html`<${Empty} title="No event has that in its name" action=${html`<button class="button" onClick=${clear}>Clear the search</button>`}>Try fewer letters.<//>`
    : html`<${Empty} title="No events are watched yet">Start with the simulated marketplace: <code>headgate up --demo</code>. Or replay a recording: <code>headgate replay FILE</code>.<//>`;
}

function Table({ rows, base }) {
  return html`<div class="scroll"><table>
    <caption class="hidden">Watched events with prices, inventory and freshness</caption>
    <thead><tr><th scope="col">Event</th><th class="num" scope="col">Get-in</th><th class="wide-only" scope="col">48 hours</th><th class="num wide-only" scope="col">24 h</th>
      <th class="num wide-only" scope="col">Median</th><th class="num wide-only" scope="col">Tickets</th><th class="num wide-only" scope="col">Sold, 24 h</th><th class="wide-only" scope="col">Age of data</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id}>
      <td><a class="name" href=${`${base}/events/${row.id}`}>${row.name}</a><span class="sub">${[row.venue, row.city].filter(Boolean).join(", ")}</span>
        <span class="sub">${when(row.starts_at, row.tz, "day")} · ${until(row.starts_at)}${row.status && row.status !== "scheduled" && row.status !== "active" ? html` <${Badge} tone="warn">${row.status}<//>` : ""}</span>
        <div class="phone-only" style=${{ marginTop: "6px", maxWidth: "190px" }}><${Age} asOf=${row.as_of} promise=${row.promise_s} /></div></td>
      <td class="num"><strong>${money(row.get_in, row.currency)}</strong><span class="sub phone-only"><${Change} value=${row.change_24h} /></span><span class="sub phone-only">${count(row.total_tickets)} tickets</span></td>
      <td class="wide-only"><${Spark} values=${row.spark} label=${`Get-in price of ${row.name} over 48 hours, now ${money(row.get_in, row.currency)}`} /></td>
      <td class="num wide-only"><${Change} value=${row.change_24h} /></td>
      <td class="num wide-only">${money(row.median_price, row.currency)}</td>
      <td class="num wide-only">${count(row.total_tickets)}<span class="sub"><${Change} value=${row.tickets_change_24h} /></span></td>
      <td class="num wide-only">${range(row.sold_lo_24h, row.sold_hi_24h)}</td>
      <td class="wide-only"><${Age} asOf=${row.as_of} promise=${row.promise_s} /></td></tr>`)}</tbody></table></div>`;
}

