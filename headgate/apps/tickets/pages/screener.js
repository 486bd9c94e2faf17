// All events by what they cost and how they move; choose up to ten and compare their paths to the day.
import { html, useMemo, useState } from "../../static/names.js";
import { useRead } from "../../static/api.js";
import { Age, Change, Empty, Loaded, Segmented, Sort, useSettled } from "../../static/ui.js";
import { AsTable, TimeChart } from "../../static/charts.js";
import { count, money, range, until } from "../../static/format.js";

const LINES = ["--price", "--sold", "--four", "--pair", "--bad", "--good", "--stock", "--warn", "--ink-2", "--forecast"];

export default function Screener({ rest, base }) {
  return rest[0] === "compare" && rest[1] ? html`<${Compare} ids=${rest[1]} base=${base} />` : html`<${Screen} base=${base} />`;
}

function Screen({ base }) {
  const [order, setOrder] = useState("change_24h.asc");
  const [filter, setFilter] = useState({});
  const [chosen, choose] = useState([]);
  const settled = useSettled(filter);
  const params = {
    active_eq: true, limit: 100, order, get_in_lte: settled.most || null, get_in_gte: settled.least || null,
    days_to_event_lte: settled.days || null, total_tickets_gte: settled.tickets || null,
    change_24h_lte: settled.fell ? -Math.abs(settled.fell) : null, name_like: settled.words ? `%${settled.words}%` : null,
  };
  const read = useRead("/api/screen", params, { event: "any", quiet: 5000 });
  const set = (field) => (e) => setFilter({ ...filter, [field]: e.target.value });
  const toggle = (id) => choose(chosen.includes(id) ? chosen.filter((x) => x !== id) : chosen.length < 10 ? [...chosen, id] : chosen);
  const number = (field, label, hint) => html`<label class="field">${label}<input class="input" type="number" min="0" inputmode="decimal" value=${filter[field] || ""} placeholder=${hint} onInput=${set(field)} /></label>`;
  return html`<div class="head"><div><h1>Screener</h1><p>Narrow by price, movement and time left; tick events to compare them.</p></div>
      <a class=${"button " + (chosen.length > 1 ? "main" : "")} aria-disabled=${String(chosen.length < 2)} href=${chosen.length > 1 ? `${base}/screener/compare/${chosen.join(",")}` : undefined}>Compare${chosen.length ? ` ${chosen.length}` : ""}</a></div>
    <div class="filters"><label class="field wide">Name<input class="input" type="search" value=${filter.words || ""} placeholder="any" onInput=${set("words")} /></label>
      ${number("least", "Get-in from", "0")}${number("most", "Get-in up to", "any")}${number("fell", "Fell by, %", "any")}${number("tickets", "Tickets, at least", "any")}${number("days", "Days left, at most", "any")}</div>
    <div class="card flush"><${Loaded} read=${read} height=${520} empty=${html`<${Empty} title="No event fits" action=${html`<button class="button" onClick=${() => setFilter({})}>Clear the filters</button>`}>Loosen a filter above.<//>`}>
      ${(rows) => html`<${Table} rows=${rows} base=${base} order=${order} onSort=${setOrder} chosen=${chosen} toggle=${toggle} />`}<//></div>`;
}

function Table({ rows, base, order, onSort, chosen, toggle }) {
  const head = { sort: order, onSort, right: true };
  return html`<div class="scroll"><table><caption class="hidden">Events that fit the filters</caption><thead><tr><th scope="col"><span class="hidden">Compare</span></th><${Sort} sort=${order} onSort=${onSort} column="name">Event<//><${Sort} ...${head} column="get_in">Get-in<//><${Sort} ...${head} column="change_24h">24 h<//><${Sort} ...${head} column="change_7d">7 d<//><${Sort} ...${head} column="get_in_pair">Pair<//><${Sort} ...${head} column="median_price">Median<//><${Sort} ...${head} column="total_tickets">Tickets<//><${Sort} ...${head} column="sold_hi_24h">Sold, 24 h<//><${Sort} ...${head} column="days_to_event">Starts<//></tr></thead>
    <tbody>${rows.map((r) => html`<tr key=${r.id}><td style=${{ width: "1%" }}><input type="checkbox" aria-label=${`Compare ${r.name}`} checked=${chosen.includes(r.id)} onChange=${() => toggle(r.id)} /></td><td><a class="name" href=${`${base}/events/${r.id}`}>${r.name}</a><span class="sub">${[r.venue, r.city].filter(Boolean).join(", ")}</span></td>
      <td class="num"><strong>${money(r.get_in, r.currency)}</strong></td><td class="num"><${Change} value=${r.change_24h} /></td><td class="num"><${Change} value=${r.change_7d} /></td><td class="num">${money(r.get_in_pair, r.currency)}</td><td class="num">${money(r.median_price, r.currency)}</td><td class="num">${count(r.total_tickets)}</td><td class="num">${range(r.sold_lo_24h, r.sold_hi_24h)}</td><td class="num quiet">${until(r.starts_at)}</td></tr>`)}</tbody></table></div>`;
}

const WAYS = [["price", "Price"], ["index", "Since first = 100"]];

function Compare({ ids, base }) {
  const [way, setWay] = useState("price");
  const read = useRead("/api/compare", { ids }, { event: "any", quiet: 5000 });
  return html`<a class="crumb" href=${`${base}/screener`}>← Screener</a><div class="head"><div><h1>Comparison</h1><p>Get-in price by days to each event, so that paths line up.</p></div><${Segmented} label="Show" options=${WAYS} value=${way} onChange=${setWay} /></div>
    <${Loaded} read=${read} height=${420} empty=${html`<div class="card"><${Empty} title="None of these events exists">Go back to the screener and choose again.<//></div>`}>${(rows) => html`<div class="stack"><div class="card"><${Paths} rows=${rows} way=${way} /></div>
      <div class="card flush"><div class="scroll"><table><thead><tr><th scope="col">Event</th><th class="num" scope="col">Get-in</th><th class="num" scope="col">24 h</th><th class="num" scope="col">7 d</th><th class="num" scope="col">Pair</th><th class="num" scope="col">Median</th><th class="num" scope="col">Tickets</th><th class="num" scope="col">Sold, 24 h</th><th scope="col">Age of data</th></tr></thead>
        <tbody>${rows.map(({ event: r }, i) => html`<tr key=${r.id}><td><span class="row" style=${{ flexWrap: "nowrap" }}><i style=${{ width: "10px", height: "10px", borderRadius: "3px", flex: "none", background: `var(${LINES[i]})` }}></i><a class="name" href=${`${base}/events/${r.id}`}>${r.name}</a></span><span class="sub">${until(r.starts_at)}</span></td><td class="num"><strong>${money(r.get_in, r.currency)}</strong></td><td class="num"><${Change} value=${r.change_24h} /></td><td class="num"><${Change} value=${r.change_7d} /></td><td class="num">${money(r.get_in_pair, r.currency)}</td><td class="num">${money(r.median_price, r.currency)}</td><td class="num">${count(r.total_tickets)}</td><td class="num">${range(r.sold_lo_24h, r.sold_hi_24h)}</td><td><${Age} asOf=${r.as_of} promise=${r.promise_s} /></td></tr>`)}</tbody></table></div></div></div>`}<//>`;
}

function Paths({ rows, way }) {
  const drawn = useMemo(() => {
    const days = [...new Set(rows.flatMap((r) => r.daily.map((d) => -d.days_to_event)))].sort((a, b) => a - b);
    return { days, lines: rows.map((r, i) => {
      const by = new Map(r.daily.map((d) => [-d.days_to_event, d.get_in == null ? null : Number(d.get_in)]));
      const first = [...by.keys()].sort((a, b) => a - b).map((d) => by.get(d)).find((v) => v != null) || 1;
      return { label: r.event.name, color: LINES[i], width: 2, values: days.map((d) => (by.get(d) == null ? null : way === "index" ? (100 * by.get(d)) / first : by.get(d))) };
    }) };
  }, [rows, way]);
  const currency = rows[0].event.currency;
  const say = (v) => (way === "index" ? count(v) : money(v, currency));
  if (drawn.days.length < 2) return html`<${Empty} title="Not enough days yet">A path needs at least two observed days. The table below is current.<//>`;
  const title = (d) => (d === 0 ? "day of the event" : `${-d} days before`);
  return html`<${TimeChart} times=${drawn.days} lines=${drawn.lines} height=${360} linear format=${say} title=${title} label="Get-in prices by days to the event" />
    <${AsTable} head=${["Day", ...rows.map((r) => r.event.name)]} rows=${drawn.days.map((d, i) => [title(d), ...drawn.lines.map((l) => (l.values[i] == null ? "–" : say(l.values[i])))])} />`;
}
