// Charts over uPlot: time series with bands, bars and gaps; sparklines; intervals. Missing time stays a gap.
import uPlot from "./vendor/uPlot.esm.js";
import { html, useEffect, useMemo, useRef } from "./names.js";
import { useTheme, useWidth } from "./ui.js";

/** The value of a colour token, as the canvas needs it. */
export function colour(token) {
  return getComputedStyle(document.documentElement).getPropertyValue(token).trim();
}

function axis(extra) {
  return {
    stroke: colour("--axis"), font: "12px " + colour("--sans"), ticks: { show: false }, gap: 6,
    grid: { stroke: colour("--grid"), width: 1 }, ...extra,
  };
}

function stroke(line) {
  const color = colour(line.color);
  if (line.hidden) return { show: true, stroke: "transparent", width: 0, points: { show: false }, spanGaps: false };
  if (line.kind === "bars") {
    return { stroke: "transparent", fill: colour(line.fill || line.color), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.72, 18], align: line.align ?? 1 }) };
  }
  return {
    stroke: color, width: line.width ?? 1.8, dash: line.dash, spanGaps: false,
    fill: line.fill ? colour(line.fill) : undefined,
    points: { show: (u, i, from, to) => (to - from) < 2, size: 5, fill: color, stroke: color },
    paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
  };
}

function place(tip, u) {
  const { left, top } = u.cursor;
  const room = u.over.clientWidth;
  const x = u.over.offsetLeft + (left > room / 2 ? left - tip.offsetWidth - 14 : left + 14);
  tip.style.left = `${Math.max(0, Math.min(x, u.root.clientWidth - tip.offsetWidth))}px`;
  tip.style.top = `${Math.max(0, Math.min(top - 10, u.over.clientHeight - 30))}px`;
}

function fill(tip, u, lines, title, format) {
  const i = u.cursor.idx;
  if (i == null || u.cursor.left < 0) { tip.classList.remove("on"); return; }
  const rows = lines.map((line, at) => [line, u.data[at + 1][i]]).filter(([line, v]) => !line.silent && v != null);
  tip.replaceChildren();
  const head = document.createElement("h4");
  head.textContent = title(u.data[0][i]);
  tip.append(head);
  if (!rows.length) {
    const none = document.createElement("div");
    none.textContent = "not observed";
    tip.append(none);
  }
  for (const [line, value] of rows) {
    const row = document.createElement("div");
    const name = document.createElement("em");
    const swatch = document.createElement("i");
    swatch.style.background = colour(line.swatch || line.color);
    name.append(swatch, line.label);
    const number = document.createElement("b");
    number.textContent = (line.format || format)(value, i);
    row.append(name, number);
    tip.append(row);
  }
  tip.classList.add("on");
  place(tip, u);
}

/**
 * A time chart. `times`: seconds, ascending. `lines`: {label, color, values, width?, dash?, fill?, kind?, hidden?, silent?}.
 * `bands`: [upper line's index, lower line's index, colour token]. `marks`: [{at, label}]. `group` links cursors.
 */
export function TimeChart({ times, lines, bands = [], height = 260, format, title, label, group, zero = false, linear = false, tz, marks = [] }) {
  const [box, width] = useWidth();
  const theme = useTheme();
  const plot = useRef(null);
  const tip = useRef(null);
  const shape = lines.map((l) => [l.label, l.color, l.hidden, l.kind].join()).join("|") + bands.join("|") + zero + height;
  const data = useMemo(() => [times, ...lines.map((l) => l.values)], [times, lines]);
  const now = useRef({ lines, format, title, marks });
  now.current = { lines, format, title, marks };
  useEffect(() => {
    if (!width || !box.current) return undefined;
    const mine = new uPlot({
      width, height, padding: [10, 22, 0, 0], legend: { show: false },
      tzDate: tz ? (ts) => uPlot.tzDate(new Date(ts * 1000), tz) : undefined,
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false }, sync: group ? { key: group } : undefined },
      scales: { x: { time: !linear, range: (u, lo, hi) => room(now.current.lines, u.data[0], lo, hi) }, y: { range: (u, lo, hi) => spanOf(lo, hi, zero) } },
      axes: [axis({ space: 76, size: 32, grid: { show: false }, ...(linear ? { incrs: [1, 2, 5, 7, 14, 30, 60, 90] } : {}), values: (u, ticks) => (linear ? ticks.map((v) => (v === 0 ? "event" : `${-v} d`)) : clockTicks(ticks, tz)) }), axis({ size: widest, space: 44, values: (u, ticks) => ticks.map((v) => now.current.format(v)) })],
      series: [{}, ...lines.map(stroke)],
      bands: bands.map(([hi, lo, token]) => ({ series: [hi + 1, lo + 1], fill: colour(token) })),
      hooks: {
        setCursor: [(u) => tip.current && fill(tip.current, u, now.current.lines, now.current.title, now.current.format)],
        draw: [(u) => drawMarks(u, now.current.marks)],
      },
    }, data, box.current);
    plot.current = mine;
    return () => { mine.destroy(); plot.current = null; };
  }, [shape, theme, width > 0, tz]);
  useEffect(() => { if (plot.current) plot.current.setData(data); }, [data]);
  useEffect(() => { if (plot.current && width) plot.current.setSize({ width, height }); }, [width, height]);
  return html`<div class="chart" role="img" aria-label=${label}>
    <div class="plot" ref=${box} style=${{ height: `${height}px` }}></div><div class="tip" ref=${tip}></div></div>`;
}

/** As wide as the longest label of a value axis needs. */
function widest(u, values, index, cycle) {
  const mine = u.axes[index];
  if (cycle > 1) return mine._size;
  u.ctx.font = mine.font[0];
  const text = Math.max(0, ...(values || []).map((value) => u.ctx.measureText(value).width)) / devicePixelRatio;
  return Math.max(58, Math.ceil(text) + mine.gap + 6);
}

/** Bars that stand on their time need half of one's width at both ends; those that say they begin at it, one's at the end. */
function room(lines, times, lo, hi) {
  const placed = lines.filter((line) => line.kind === "bars").map((line) => line.align);
  if (times.length < 2) return [lo, hi];
  const step = times[1] - times[0];
  if (placed.includes(0)) return [lo - step / 2, hi + step / 2];
  return placed.includes(1) ? [lo, hi + step] : [lo, hi];
}

function spanOf(lo, hi, zero) {
  if (lo == null || hi == null) return [0, 1];
  if (zero) return [lo < 0 ? lo * 1.08 : 0, hi > 0 ? hi * 1.08 : lo < 0 ? 0 : 1];
  const pad = Math.max((hi - lo) * 0.12, Math.abs(hi) * 0.05, 0.5);
  return [Math.max(0, lo - pad), hi + pad];
}

/** Labels of the time axis: the day where a day begins, else the time. */
function clockTicks(ticks, tz) {
  const part = (t, options) => new Intl.DateTimeFormat(undefined, { timeZone: tz || undefined, ...options }).format(new Date(t * 1000));
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 86400;
  const clock = { hour: "2-digit", minute: "2-digit", second: step < 60 ? "2-digit" : undefined, hour12: false };
  let day = null;
  return ticks.map((t) => {
    const mine = part(t, { month: "short", day: "numeric" });
    const label = step < 86400 && day === mine ? part(t, clock) : mine;
    day = mine;
    return label;
  });
}

function drawMarks(u, marks) {
  const ctx = u.ctx;
  for (const mark of marks) {
    const x = Math.round(u.valToPos(mark.at, "x", true));
    if (!(x >= u.bbox.left && x <= u.bbox.left + u.bbox.width)) continue;
    ctx.save();
    ctx.strokeStyle = colour("--rule-2");
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(x, u.bbox.top);
    ctx.lineTo(x, u.bbox.top + u.bbox.height);
    ctx.stroke();
    ctx.fillStyle = colour("--ink-3");
    ctx.font = `${11 * devicePixelRatio}px ${colour("--sans")}`;
    ctx.textAlign = x > u.bbox.left + u.bbox.width - 60 * devicePixelRatio ? "right" : "left";
    ctx.fillText(mark.label, x + (ctx.textAlign === "left" ? 5 : -5) * devicePixelRatio, u.bbox.top + 11 * devicePixelRatio);
    ctx.restore();
  }
}

/** The legend of a chart: which colour is what. */
export function Legend({ items }) {
  return html`<div class="legend">${items.map(([text, token, box]) => html`<span key=${text}><i class=${box ? "box" : ""} style=${{ background: `var(${token})` }}></i>${text}</span>`)}</div>`;
}

/** The chart's numbers as a table, for whoever cannot or will not read the picture. */
export function AsTable({ head, rows }) {
  return html`<details class="data"><summary>Numbers as a table</summary><div class="tablewise" tabindex="0"><table>
    <thead><tr>${head.map((h, i) => html`<th key=${h} class=${i ? "num" : ""} scope="col">${h}</th>`)}</tr></thead>
    <tbody>${rows.slice(-1100).reverse().map((row) => html`<tr key=${row[0]}>${row.map((cell, i) => html`<td class=${i ? "num" : "nowrap"}>${cell}</td>`)}</tr>`)}</tbody>
  </table></div></details>`;
}

/** A line of values without axes; null is a gap. */
export function Spark({ values, label, width = 120, height = 30 }) {
  const known = (values || []).filter((v) => v != null);
  if (known.length < 2) return html`<svg class="spark" viewBox="0 0 ${width} ${height}" role="img" aria-label="not enough observations yet"><path d="M0 ${height / 2}H${width}" stroke="var(--rule-2)" stroke-dasharray="2 4" /></svg>`;
  const lo = Math.min(...known);
  const span = Math.max(...known) - lo || 1;
  const x = (i) => (i / (values.length - 1)) * (width - 4) + 2;
  const y = (v) => height - 4 - ((v - lo) / span) * (height - 8);
  const runs = [];
  values.forEach((v, i) => {
    if (v == null) return;
    if (i && values[i - 1] != null) runs[runs.length - 1].push([x(i), y(v)]);
    else runs.push([[x(i), y(v)]]);
  });
  const line = runs.map((run) => "M" + run.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L")).join("");
  const area = runs.filter((run) => run.length > 1).map((run) => `M${run[0][0].toFixed(1)} ${height}L` + run.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L") + `L${run[run.length - 1][0].toFixed(1)} ${height}Z`).join("");
  const last = runs[runs.length - 1][runs[runs.length - 1].length - 1];
  return html`<svg class="spark" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label=${label}>
    <path class="area" d=${area} /><path class="line" d=${line} /><circle class="dot" cx=${last[0]} cy=${last[1]} r="2.4" /></svg>`;
}

/** A number that is only known to lie between two: solid to the low end, pale to the high end. */
export function Interval({ lo, hi, max, label }) {
  const part = (v) => `${Math.min(100, (100 * v) / (max || 1))}%`;
  return html`<div class="interval" role="img" aria-label=${label} title=${label}><i style=${{ left: 0, width: part(hi) }}></i><b style=${{ width: part(lo) }}></b></div>`;
}
