// The sections of one event as a map of areas: size is inventory, colour is price. Grouped by zone.
import { html, useMemo, useState } from "../../static/names.js";
import { useRead } from "../../static/api.js";
import { Change, Empty, Loaded, Segmented, useWidth } from "../../static/ui.js";
import { count, money } from "../../static/format.js";

const COLOURS = [["get_in", "Get-in"], ["median_price", "Median"], ["change_24h", "24 h change"]];
// Sequential ramp in equal steps of lightness, readable with white text from the third stop on.
const RAMP = [[190, 219, 246], [134, 182, 239], [76, 138, 222], [39, 95, 190], [33, 58, 143], [41, 26, 92]];
const DOWN = [22, 120, 80];
const UP = [190, 60, 46];
const REST = [122, 132, 150];

function mix(a, b, part) {
  return a.map((v, i) => Math.round(v + (b[i] - v) * part));
}

function ramp(part) {
  const at = Math.max(0, Math.min(0.9999, part)) * (RAMP.length - 1);
  return mix(RAMP[Math.floor(at)], RAMP[Math.floor(at) + 1], at % 1);
}

/** Dark or white text, whichever has the higher contrast on the colour (WCAG 2, relative luminance). */
function ink(colour) {
  const [r, g, b] = colour.map((part) => { const c = part / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
  const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return (light + 0.05) / 0.0566 > 1.05 / (light + 0.05) ? "#0e1420" : "#ffffff";
}

/** Squarified treemap (Bruls, Huizing, van Wijk 2000): items with `size` into a rectangle. */
function squarify(items, x, y, w, h) {
  const total = items.reduce((sum, item) => sum + item.size, 0);
  if (!total || w <= 0 || h <= 0) return [];
  const scale = (w * h) / total;
  const rest = [...items].sort((a, b) => b.size - a.size).map((item) => ({ item, area: item.size * scale }));
  const placed = [];
  while (rest.length) {
    const side = Math.min(w, h);
    const row = [];
    let sum = 0;
    let worst = Infinity;
    while (rest.length) {
      const next = rest[0].area;
      const grown = sum + next;
      const big = Math.max(next, row.length ? row[0].area : next);
      const small = Math.min(next, row.length ? row[row.length - 1].area : next);
      const ratio = Math.max((side * side * big) / (grown * grown), (grown * grown) / (side * side * small));
      if (row.length && ratio > worst) break;
      row.push(rest.shift());
      sum = grown;
      worst = ratio;
    }
    const thick = sum / side;
    let along = 0;
    for (const { item, area } of row) {
      const long = area / thick;
      placed.push(w >= h ? { item, x, y: y + along, w: thick, h: long } : { item, x: x + along, y, w: long, h: thick });
      along += long;
    }
    if (w >= h) { x += thick; w -= thick; } else { y += thick; h -= thick; }
  }
  return placed;
}

export function Sections({ id, base, read: head }) {
  const read = useRead(`/api/events/${id}/heatmap`, {}, { event: id, quiet: 4000 });
  const [by, setBy] = useState("get_in");
  const [picked, pick] = useState(null);
  const currency = head.meta && head.meta.currency;
  return html`<div class="stack"><div class="card">
    <div class="card-head"><div><h2>Sections</h2><p>Area is tickets on sale, colour is price. Choose one for details.</p></div><${Segmented} label="Colour by" options=${COLOURS} value=${by} onChange=${setBy} /></div>
    <${Loaded} read=${read} height=${500} empty=${html`<${Empty} title="Nothing is on sale now">Sections appear with the next accepted poll that has listings.<//>`}>
      ${(rows) => html`<${Map} rows=${rows} by=${by} currency=${currency} picked=${picked} pick=${pick} /><${Details} row=${rows.find((r) => keyOf(r) === picked)} id=${id} base=${base} currency=${currency} />`}<//></div>
    ${read.data && read.data.length > 0 && html`<div class="card flush"><div class="card-head"><h2>All sections</h2></div><${Table} rows=${read.data} currency=${currency} /></div>`}
  </div>`;
}

function keyOf(row) {
  return `${row.zone}\u0000${row.section}`;
}

function Map({ rows, by, currency, picked, pick }) {
  const [box, width] = useWidth();
  const height = width && width < 600 ? 620 : 460;
  const colours = useMemo(() => scaleOf(rows, by), [rows, by]);
  const boxes = useMemo(() => layout(rows, width, height), [rows, width, height]);
  return html`<div class="row spread" style=${{ marginBottom: "8px" }}><div class="scale">${by === "change_24h" ? html`<span>−20 %</span><i style=${{ background: `linear-gradient(90deg, rgb(${DOWN}), rgb(${REST}), rgb(${UP}))` }}></i><span>+20 %</span>` : html`<span>${money(colours.lo, currency)}</span><i style=${{ background: `linear-gradient(90deg, ${RAMP.map((c) => `rgb(${c})`).join(",")})` }}></i><span>${money(colours.hi, currency)}</span>`}</div></div>
  <div class="treemap" ref=${box} style=${{ height: `${height}px` }} role="group" aria-label="Sections by inventory and price">
    ${boxes.zones.map((z) => html`<div key=${z.name} class="zone-label" style=${{ left: `${z.x}px`, top: `${z.y}px`, width: `${z.w}px` }}>${z.name}</div>`)}
    ${boxes.tiles.map(({ item, x, y, w, h }) => {
      const row = item.row;
      const fill = colours.of(row);
      const roomy = w > 44 && h > 34;
      return html`<button type="button" class="tile" key=${keyOf(row)} aria-pressed=${String(keyOf(row) === picked)} onClick=${() => pick(keyOf(row))} onMouseEnter=${() => pick(keyOf(row))} onFocus=${() => pick(keyOf(row))}
        aria-label=${roomy ? undefined : `${row.section}, ${row.zone}: from ${money(row.get_in, currency)}, ${row.total_tickets} tickets`}
        style=${{ left: `${x}px`, top: `${y}px`, width: `${Math.max(0, w - 2)}px`, height: `${Math.max(0, h - 2)}px`, background: `rgb(${fill})`, "--tile-ink": ink(fill), padding: roomy ? "5px 7px" : "0" }}>
        ${roomy && html`<b>${shorten(row.section, row.zone)}</b>`}${roomy && h > 44 && html`<span>${by === "change_24h" ? html`<${Sign} value=${row.change_24h} />` : money(row[by], currency)}</span>`}${roomy && html`<span class="hidden"> ${row.section}, ${row.zone}: from ${money(row.get_in, currency)}, ${row.total_tickets} tickets</span>`}</button>`;
    })}</div>`;
}

function Sign({ value }) {
  return value == null ? "new" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(0)} %`;
}

function shorten(section, zone) {
  return zone && section.startsWith(zone + " ") ? section.slice(zone.length + 1) : section;
}

function scaleOf(rows, by) {
  if (by === "change_24h") {
    return { of: (row) => (row.change_24h == null ? REST : mix(REST, row.change_24h < 0 ? DOWN : UP, Math.min(1, Math.abs(row.change_24h) / 20))) };
  }
  const prices = rows.map((r) => r[by]).filter((v) => v != null).map(Number).sort((a, b) => a - b);
  const lo = prices[Math.floor(prices.length * 0.03)] ?? 0;
  const hi = prices[Math.min(prices.length - 1, Math.floor(prices.length * 0.97))] ?? 1;
  const span = Math.log(hi / lo || 1) || 1;
  return { lo, hi, of: (row) => (row[by] == null ? REST : ramp(Math.log(row[by] / lo) / span)) };
}

function layout(rows, width, height) {
  if (!width) return { zones: [], tiles: [] };
  const zones = {};
  for (const row of rows) (zones[row.zone || "–"] ||= []).push(row);
  const sized = Object.entries(zones).map(([name, list]) => ({ name, list, size: list.reduce((s, r) => s + Math.max(1, r.total_tickets), 0) }));
  const floor = sized.reduce((s, z) => s + z.size, 0) * 0.03;
  const placed = squarify(sized.map((z) => ({ ...z, size: Math.max(z.size, floor) })), 0, 0, width, height);
  const tiles = [];
  const labels = [];
  for (const { item, x, y, w, h } of placed) {
    labels.push({ name: item.name, x: x + 2, y, w: w - 8 });
    tiles.push(...squarify(item.list.map((row) => ({ row, size: Math.max(1, row.total_tickets) })), x, y + 20, w - 6, h - 26));
  }
  return { zones: labels, tiles };
}

function Details({ row, id, base, currency }) {
  return html`<div class="row spread" style=${{ minHeight: "44px", marginTop: "12px" }} aria-live="polite">${row ? html`
    <span><strong>${row.section}</strong> <span class="quiet">${row.zone}</span></span>
    <span>Get-in <strong>${money(row.get_in, currency)}</strong></span><span>Pair <strong>${money(row.get_in_pair, currency)}</strong></span><span>Median <strong>${money(row.median_price, currency)}</strong></span>
    <span>${count(row.total_tickets)} tickets in ${count(row.total_listings)} listings</span><span><${Change} value=${row.change_24h} label="24 h" /></span>
    <a class="button" href=${`${base}/events/${id}/listings?section=${encodeURIComponent(row.section)}`}>Listings</a>` : html`<span class="quiet">Point at a section, or move to it with Tab.</span>`}</div>`;
}

function Table({ rows, currency }) {
  const sorted = useMemo(() => [...rows].sort((a, b) => (a.get_in ?? Infinity) - (b.get_in ?? Infinity)), [rows]);
  return html`<div class="scroll" style=${{ maxHeight: "420px" }} tabindex="0"><table><thead><tr><th scope="col">Section</th><th scope="col" class="wide-only">Zone</th><th class="num" scope="col">Get-in</th><th class="num" scope="col">Pair</th><th class="num wide-only" scope="col">Median</th><th class="num" scope="col">Tickets</th><th class="num wide-only" scope="col">24 h</th></tr></thead>
    <tbody>${sorted.map((r) => html`<tr key=${keyOf(r)}><td>${r.section}<span class="sub phone-only">${r.zone}</span></td><td class="wide-only quiet">${r.zone}</td><td class="num"><strong>${money(r.get_in, currency)}</strong></td><td class="num">${money(r.get_in_pair, currency)}</td><td class="num wide-only">${money(r.median_price, currency)}</td><td class="num">${count(r.total_tickets)}</td><td class="num wide-only"><${Change} value=${r.change_24h} /></td></tr>`)}</tbody></table></div>`;
}
