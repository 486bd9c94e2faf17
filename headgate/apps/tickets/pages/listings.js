// What is on sale for one event, listing by listing: a price strip by zone on top, the filtered table below.
import { html, useEffect, useMemo, useState } from "../../static/names.js";
import { useRead } from "../../static/api.js";
import { Empty, Loaded, Segmented, Sort, useSettled, useWidth } from "../../static/ui.js";
import { ago, count, money } from "../../static/format.js";

const SIZES = [["1", "Any"], ["2", "Pair"], ["4", "Four"]];
const STEP = 50;

export function Listings({ id, read: head, query }) {
  const [zone, setZone] = useState(query.get("zone") || "");
  const [section, setSection] = useState(query.get("section") || "");
  const [size, setSize] = useState("1");
  const [most, setMost] = useState("");
  const [order, setOrder] = useState("price.asc");
  const [page, setPage] = useState(0);
  const words = useSettled(section.trim());
  const limit = useSettled(most);
  const params = {
    group_size: size, order, limit: STEP, offset: page * STEP, zone_eq: zone || null,
    section_like: words ? `%${words.replace(/[%_\\]/g, "\\$&")}%` : null, price_lte: limit > 0 ? limit : null,
  };
  useEffect(() => setPage(0), [zone, words, size, limit, order]);
  const read = useRead(`/api/events/${id}/listings`, params, { event: id, quiet: 3000 });
  const zones = head.data ? head.data.zones : [];
  const currency = head.meta && head.meta.currency;
  const clear = () => { setZone(""); setSection(""); setMost(""); setSize("1"); };
  return html`<div class="stack">
    <div class="card"><div class="card-head"><div><h2>Listings</h2><p>Each mark is one listing on this page; right is dearer.</p></div><${Segmented} label="Seats together" options=${SIZES} value=${size} onChange=${setSize} /></div>
      <div class="filters">
        <label class="field">Zone<select class="input" value=${zone} onChange=${(e) => setZone(e.target.value)}><option value="">All zones</option>${zones.map((z) => html`<option key=${z.zone} value=${z.zone}>${z.zone}</option>`)}</select></label>
        <label class="field">Section<input class="input" type="search" value=${section} placeholder="any" onInput=${(e) => setSection(e.target.value)} /></label>
        <label class="field">Price at most<input class="input" type="number" min="0" step="1" inputmode="numeric" value=${most} placeholder="any" onInput=${(e) => setMost(e.target.value)} /></label>
      </div>
      ${read.data && read.data.length > 0 ? html`<${Strip} rows=${read.data} currency=${currency} />` : html`<div style=${{ minHeight: "120px" }}></div>`}</div>
    <div class="card flush"><${Loaded} read=${read} height=${480} empty=${html`<${Empty} title="No listing fits" action=${html`<button class="button" onClick=${clear}>Clear the filters</button>`}>Raise the price, or choose another zone or party size.<//>`}>
      ${(rows, meta) => html`<${Table} rows=${rows} order=${order} onSort=${setOrder} currency=${currency} /><div class="row spread" style=${{ padding: "12px 24px" }}>
        <span class="quiet small">${count(meta.offset + 1)}–${count(meta.offset + rows.length)} of ${count(meta.total)}</span>
        <span class="row"><button class="button" disabled=${page === 0} onClick=${() => setPage(page - 1)}>Previous</button><button class="button" disabled=${meta.offset + rows.length >= meta.total} onClick=${() => setPage(page + 1)}>Next</button></span></div>`}<//></div>
  </div>`;
}

/** Listings as ticks on a price axis, one lane for each zone. */
function Strip({ rows, currency }) {
  const [box, width] = useWidth();
  const lanes = useMemo(() => {
    const found = {};
    for (const row of rows) (found[row.zone || "–"] ||= []).push(row);
    return Object.entries(found).sort((a, b) => a[1][0].price - b[1][0].price).slice(0, 8);
  }, [rows]);
  const prices = rows.map((r) => Number(r.price));
  const lo = Math.min(...prices);
  const hi = Math.max(...prices);
  const left = width < 520 ? 92 : 170;
  const x = (price) => left + 8 + ((Math.log(price + 1) - Math.log(lo + 1)) / (Math.log(hi + 1) - Math.log(lo + 1) || 1)) * (width - left - 24);
  const height = Math.max(60, lanes.length * 22) + 26;
  return html`<div ref=${box} style=${{ minHeight: "120px" }}>${width > 0 && html`<svg width=${width} height=${height} role="img" aria-label=${`Prices from ${money(lo, currency)} to ${money(hi, currency)} by zone`}>
    ${lanes.map(([name, list], i) => html`<g key=${name} transform=${`translate(0 ${i * 22 + 11})`}>
      <text x="0" y="4" font-size="12" fill="var(--ink-2)">${name.length > left / 7.2 ? name.slice(0, Math.floor(left / 7.2) - 1) + "…" : name}</text>
      <line x1=${left} x2=${width} y1="0" y2="0" stroke="var(--grid)" />
      ${list.map((row) => html`<rect key=${row.listing_id} x=${x(Number(row.price)) - 1.5} y="-7" width="3" height="14" rx="1.5" fill="var(--price)" opacity="0.55"><title>${row.section} row ${row.row || "–"}: ${money(row.price, currency, { cents: true })}</title></rect>`)}</g>`)}
    <text x=${left + 8} y=${height - 6} font-size="12" fill="var(--ink-3)">${money(lo, currency)}</text><text x=${width - 8} y=${height - 6} font-size="12" text-anchor="end" fill="var(--ink-3)">${money(hi, currency)}</text></svg>`}</div>`;
}

function Table({ rows, order, onSort, currency }) {
  const head = { sort: order, onSort };
  return html`<div class="scroll"><table><caption class="hidden">Listings on sale</caption><thead><tr><${Sort} ...${head} column="section">Section<//><${Sort} ...${head} column="row">Row<//><${Sort} ...${head} column="quantity" right>Tickets<//><th class="wide-only" scope="col">Sold as</th>
    <${Sort} ...${head} column="price" right>All-in<//><th class="num wide-only" scope="col">Before fees</th><th class="num wide-only" scope="col">Face</th><${Sort} ...${head} column="since" right>This price since<//></tr></thead>
    <tbody>${rows.map((r) => html`<tr key=${r.listing_id}><td>${r.section || "–"}<span class="sub">${r.zone}</span></td><td>${r.row || "–"}</td><td class="num">${count(r.quantity)}</td><td class="wide-only quiet">${(r.splits || []).join(", ")}</td>
      <td class="num"><strong>${money(r.price, currency, { cents: true })}</strong></td><td class="num wide-only quiet">${money(r.base_price, currency, { cents: true })}</td><td class="num wide-only quiet">${money(r.face_price, currency, { cents: true })}</td><td class="num quiet">${ago((Date.now() - Date.parse(r.since)) / 1000)}</td></tr>`)}</tbody></table></div>`;
}
