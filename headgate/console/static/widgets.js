// The interactive parts: dialog, toasts, progress, data grid, form fields, code, tabs. Knows nothing of what they show.
import { html, render, useEffect, useRef, useState } from "./names.js";
import { Bone, ICONS } from "./ui.js";
import { count, duration } from "./format.js";

/** A modal dialog on the browser's own element: focus stays in, Escape closes, the opener gets focus back. */
export function Dialog({ title, onClose, children, wide }) {
  const box = useRef(null);
  useEffect(() => {
    const element = box.current;
    element.showModal();
    const cancel = (event) => { event.preventDefault(); onClose(); };
    element.addEventListener("cancel", cancel);
    return () => { element.removeEventListener("cancel", cancel); if (element.open) element.close(); };
  }, []);
  return html`<dialog class=${"dialog" + (wide ? " wide" : "")} ref=${box} aria-label=${title} onClick=${(e) => e.target === box.current && onClose()}>
    <div class="dialog-in"><div class="dialog-head"><h2>${title}</h2><button class="icon" type="button" aria-label="Close" onClick=${onClose}>${ICONS.close}</button></div>${children}</div></dialog>`;
}

/** Asks before something that cannot be taken back. `sure` is the word on the button. */
export function Confirm({ title, children, sure, onSure, onClose }) {
  const [state, set] = useState({ busy: false, error: null });
  const go = async () => {
    set({ busy: true, error: null });
    try { await onSure(); onClose(); } catch (error) { set({ busy: false, error }); }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}><div class="prose">${children}</div><${Wrong} error=${state.error} />
    <div class="dialog-foot"><button class="button" type="button" onClick=${onClose}>Keep it</button><button class="button danger" type="button" disabled=${state.busy} onClick=${go}>${sure}</button></div><//>`;
}

/** What went wrong with something the reader just did, with the way out if the surface names one. */
export function Wrong({ error }) {
  if (!error) return null;
  return html`<div class="note bad" role="alert"><span>${error.message}${error.hint ? ` ${error.hint}` : ""}${error.code ? html` <code class="tiny">${error.code}</code>` : ""}</span></div>`;
}

// ---- toasts ---------------------------------------------------------------------------------------------------
let shelf = null;
let toasts = [];
let number = 0;

/** A short line at the corner that goes by itself; `tone` good or bad. */
export function toast(text, tone = "good") {
  if (!shelf) {
    shelf = document.createElement("div");
    shelf.className = "toasts";
    shelf.setAttribute("role", "status");
    shelf.setAttribute("aria-live", "polite");
    document.body.append(shelf);
  }
  const mine = { id: number += 1, text, tone };
  const draw = () => render(html`${toasts.map((t) => html`<div class=${`toast ${t.tone}`} key=${t.id}>${t.text}</div>`)}`, shelf);
  toasts = [...toasts.slice(-3), mine];
  draw();
  setTimeout(() => { toasts = toasts.filter((t) => t !== mine); draw(); }, 5000);
}

/** Do something, say that it is done, or say why not. */
export async function act(work, done) {
  try { const value = await work(); if (done) toast(done); return value; } catch (error) { toast(error.message, "bad"); return undefined; }
}

// ---- progress -------------------------------------------------------------------------------------------------
/** How far something is: `seen` of `expected`, or a moving band when the whole is unknown. */
export function Progress({ seen, expected, label, tone = "" }) {
  const known = expected > 0;
  const part = known ? Math.max(0, Math.min(1, seen / expected)) : 0;
  return html`<div class=${`progress ${tone} ${known ? "" : "unknown"}`} role="progressbar" aria-label=${label} aria-valuemin=${known ? 0 : undefined} aria-valuemax=${known ? 100 : undefined}
    aria-valuenow=${known ? Math.round(part * 100) : undefined}><i style=${{ width: known ? `${part * 100}%` : undefined }}></i></div>`;
}

/** "12,000 of 300,000 · 4,100 a second · 1 min left" */
export function pace(run) {
  return [
    run.expected ? `${count(run.seen)} of ${count(run.expected)}` : count(run.seen),
    run.rate > 0 && `${count(run.rate, run.rate < 10 ? 1 : 0)} a second`,
    run.eta_s > 0 && `${duration(run.eta_s)} left`,
    run.rejected > 0 && `${count(run.rejected)} rejected`,
  ].filter(Boolean).join(" · ");
}

// ---- grid -----------------------------------------------------------------------------------------------------
/** A cell's value as text; structured values as JSON, long ones cut with the whole in the title. */
export function Cell({ value }) {
  if (value === null || value === undefined) return html`<span class="null">null</span>`;
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (text === "") return html`<span class="null">empty</span>`;
  return text.length > 90 ? html`<span title=${text.slice(0, 1500)}>${text.slice(0, 90)}…</span>` : text;
}

const NUMBER = /^(smallint|integer|bigint|numeric|real|double precision|int\d|float\d)/;

/**
 * Rows under typed columns. `columns`: [{name, type?, key?}], `rows`: arrays in their order. `sort`: {column, descending}.
 * The head and `height` stay while rows come and go.
 */
export function Grid({ label, columns, rows, sort, onSort, onRow, height = 560, busy }) {
  return html`<div class="grid-scroll" style=${{ height: `${height}px` }} tabindex="0" role="region" aria-label=${label} aria-busy=${busy ? "true" : undefined}><table class="grid"><thead><tr>
    ${columns.map((c) => html`<th key=${c.name} scope="col" class=${NUMBER.test(c.type || "") ? "num" : ""} aria-sort=${sort && sort.column === c.name ? (sort.descending ? "descending" : "ascending") : undefined}>
      ${onSort ? html`<button type="button" onClick=${() => onSort(c.name)}><span>${c.key ? html`<span class="keymark" title="primary key">◆ </span>` : ""}${c.name}${sort && sort.column === c.name ? (sort.descending ? " ↓" : " ↑") : ""}</span></button>` : c.name}
      ${c.type && html`<small>${c.type}</small>`}</th>`)}${onRow && html`<th scope="col"><span class="hidden">Actions</span></th>`}</tr></thead>
    <tbody>${rows.map((row, i) => html`<tr key=${i}>${columns.map((c, n) => html`<td key=${c.name} class=${NUMBER.test(c.type || "") ? "num" : ""}><${Cell} value=${row[n]} /></td>`)}
      ${onRow && html`<td class="num"><button class="button plain small" type="button" aria-label=${`Open row ${i + 1}`} onClick=${() => onRow(row)}>Open</button></td>`}</tr>`)}</tbody></table></div>`;
}

/** Rows that are still on their way, in the size they will have. */
export function Bones({ rows = 6, height = 44 }) {
  return html`<div aria-busy="true" class="bones" style=${{ minHeight: `${rows * height}px` }}><span class="hidden">Loading</span>${Array.from({ length: rows }, (_, i) => html`<${Bone} key=${i} w=${`${92 - ((i * 17) % 30)}%`} h=${14} />`)}</div>`;
}

/** Previous and next with the place in the whole. */
export function Pager({ page, size, shown, total, more, onPage }) {
  const from = page * size;
  return html`<div class="pager"><span class="quiet small">${shown ? `${count(from + 1)}–${count(from + shown)}` : "0"}${total == null ? "" : ` of ${count(total)}${more ? "+" : ""}`}</span>
    <span class="row"><button class="button" type="button" disabled=${page === 0} onClick=${() => onPage(page - 1)}>Previous</button>
    <button class="button" type="button" disabled=${total == null ? shown < size : !more && from + shown >= total} onClick=${() => onPage(page + 1)}>Next</button></span></div>`;
}

/** A labelled input. `hint` is read with it. */
export function Field({ label, hint, wide, ...input }) {
  const id = useRef(`f${number += 1}`).current;
  return html`<label class=${"field" + (wide ? " wide" : "")}>${label}<input class="input" aria-describedby=${hint ? id : undefined} ...${input} />${hint && html`<span class="tiny quiet" id=${id}>${hint}</span>`}</label>`;
}

export function Tabs({ label, options, value, onChange }) {
  return html`<div class="segmented" role="group" aria-label=${label}>${options.map(([id, text]) => html`<button type="button" key=${id} aria-pressed=${String(id === value)} onClick=${() => onChange(id)}>${text}</button>`)}</div>`;
}

/** Text to read or copy as it is. */
export function Code({ text, label = "Details" }) {
  return html`<pre class="codeblock" tabindex="0" role="region" aria-label=${label}>${text}</pre>`;
}

/** Label and value pairs. */
export function Facts({ items }) {
  return html`<dl class="facts">${items.filter(Boolean).map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value ?? "–"}</dd></div>`)}</dl>`;
}
