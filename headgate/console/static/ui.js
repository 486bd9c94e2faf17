// The small parts of every page: states, stats, ages, segmented choices, tables. Knows nothing of any application.
import { html, useEffect, useRef, useState } from "./names.js";
import { useClock } from "./api.js";
import { ago, change, duration } from "./format.js";

export const ICONS = {
  close: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M6 6l12 12M18 6 6 18"/></svg>`,
  menu: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M4 7h16M4 12h16M4 17h16"/></svg>`,
  home: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M4 13.5 8 9l4 4.500 4-8 4 5"/><path d="M4 19.500h16"/></svg>`,
  table: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><rect x="4" y="5" width="16" height="14" rx="2"/><path d="M4 10h16M10 10v9"/></svg>`,
  code: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="m8 8-4 4 4 4M16 8l4 4-4 4M13.500 5.500l-3 13"/></svg>`,
  runs: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M4 7h9M4 12h14M4 17h6"/><circle cx="17" cy="7" r="1.600"/><circle cx="14" cy="17" r="1.600"/></svg>`,
  jobs: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><rect x="4" y="4.500" width="16" height="4" rx="1"/><rect x="4" y="10" width="16" height="4" rx="1"/><rect x="4" y="15.500" width="16" height="4" rx="1"/></svg>`,
  logs: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M6 4h9l4 4v12H6z"/><path d="M9 12h7M9 15.500h7M9 8.500h3"/></svg>`,
  users: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="9" cy="9" r="3.200"/><path d="M3.500 19c.5-3.500 2.600-5 5.500-5s5 1.500 5.500 5M15.500 6.500a3 3 0 0 1 0 5.500M17 14.500c2 .5 3.200 2 3.500 4.500"/></svg>`,
  folder: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M3.500 7.500A1.500 1.500 0 0 1 5 6h4.500l2 2.500H19a1.500 1.500 0 0 1 1.500 1.500v7a1.500 1.500 0 0 1-1.500 1.500H5A1.500 1.500 0 0 1 3.500 17z"/></svg>`,
  file: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M6.500 4h7l4 4v12h-11z"/><path d="M13.500 4v4h4"/></svg>`,
  bolt: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M13 3.500 5.500 13.500H11l-1 7 7.500-10H12z"/></svg>`,
  mail: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><rect x="3.500" y="6" width="17" height="12.500" rx="2"/><path d="m4.500 7.500 7.500 6 7.500-6"/></svg>`,
  lock: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><rect x="5.500" y="10.500" width="13" height="9" rx="2"/><path d="M8.500 10.500V8a3.500 3.500 0 0 1 7 0v2.500"/></svg>`,
  page: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M5 18.500V12M10 18.500V6M15 18.500v-8M20 18.500V9"/></svg>`,
  sun: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" aria-hidden="true"><circle cx="12" cy="12" r="4"/><path d="M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1"/></svg>`,
  moon: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linejoin="round" aria-hidden="true"><path d="M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5z"/></svg>`,
  ticket: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" aria-hidden="true"><path d="M3 8.5A1.5 1.5 0 0 1 4.500 7h15A1.500 1.500 0 0 1 21 8.500v1.700a2 2 0 0 0 0 3.600v1.700a1.500 1.500 0 0 1-1.500 1.500h-15A1.500 1.500 0 0 1 3 15.500v-1.700a2 2 0 0 0 0-3.600z"/><path d="M14 7v10" stroke-dasharray="1.800 2.200"/></svg>`,
  bell: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round" aria-hidden="true"><path d="M6 16V11a6 6 0 1 1 12 0v5l1.500 2h-15zM10 20.500a2.200 2.200 0 0 0 4 0"/></svg>`,
  warn: html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round" aria-hidden="true"><path d="M12 4 3 19.500h18zM12 10v4.500M12 17v.2"/></svg>`,
};

/** Nothing to show: what that means and what to do. */
export function Empty({ title, children, action, icon = "ticket" }) {
  return html`<div class="state" role="status">${ICONS[icon]}<strong>${title}</strong><p>${children}</p>${action}</div>`;
}

/** The request failed: what happened and what to do. */
export function Failure({ error, retry }) {
  const titles = {
    UNREACHABLE: "The server does not answer", NOT_FOUND: "There is nothing here",
    RATE_LIMIT_EXCEEDED: "Too many requests this hour", UNAUTHORIZED: "This needs a valid key",
  };
  return html`<div class="state" role="alert">${ICONS.warn}<strong>${titles[error.code] || "This could not be read"}</strong>
    <p>${error.message}${error.code === "UNREACHABLE" ? " It may be restarting; this page tries again when it is back." : ""}</p>
    ${retry && html`<button class="button" onClick=${retry}>Try again</button>`}</div>`;
}

/** A failed refresh over data that is still shown. */
export function Stale({ error, retry }) {
  if (!error) return null;
  return html`<div class="note bad" role="alert"><span>Not refreshed: ${error.message} What you see is older.</span>
    <button class="button plain" onClick=${retry}>Try again</button></div>`;
}

/** A grey block of the size that the content will have. */
export function Bone({ w = "100%", h = 16 }) {
  return html`<span class="bone" style=${{ width: typeof w === "number" ? `${w}px` : w, height: `${h}px` }} aria-hidden="true"></span>`;
}

/** Data, its loading, its failure and its absence, in one place. `children` is called with data once there is some. */
export function Loaded({ read, height = 320, empty, children }) {
  if (read.data == null && read.error) return html`<${Failure} error=${read.error} retry=${read.reload} />`;
  if (read.data == null) return html`<div aria-busy="true"><span class="hidden">Loading</span><${Bone} h=${height} /></div>`;
  if (empty && Array.isArray(read.data) && read.data.length === 0) return empty;
  return html`<${Stale} error=${read.error} retry=${read.reload} />${children(read.data, read.meta)}`;
}

export function Stat({ label, value, note, color, tone }) {
  return html`<div class="stat"><dt>${color && html`<span class="key" style=${{ background: color }}></span>`}${label}</dt>
    <dd class=${tone || ""}>${value}<small>${note || ""}</small></dd></div>`;
}

export function Change({ value, label }) {
  const tone = value == null || Math.abs(value) < 0.05 ? "flat" : value > 0 ? "up" : "down";
  return html`<span class=${"nowrap " + tone}>${value == null ? "" : tone === "up" ? "▲ " : tone === "down" ? "▼ " : ""}${change(value)}${label ? " " + label : ""}</span>`;
}

export function Badge({ tone = "", children }) {
  return html`<span class=${"badge " + tone}>${children}</span>`;
}

/** How old data is against the promise: a bar that fills up, and the age in words. Grows by itself. */
export function Age({ asOf, promise, bare }) {
  const now = useClock(bare ? 1000 : 5000);
  if (!asOf) return html`<div class="age bad" title="never observed"><div class="bar"></div><span>never</span></div>`;
  const age = Math.max(0, (now - new Date(asOf)) / 1000);
  const part = promise ? age / promise : 0;
  const tone = part > 1 ? "bad" : part > 0.8 ? "warn" : "";
  const text = `Observed ${ago(age)}; promised every ${duration(promise)}`;
  return html`<div class=${"age " + tone} role="img" aria-label=${text} title=${text}>
    <div class="bar"><i style=${{ width: `${Math.max(3, Math.min(100, 100 * part))}%` }}></i></div>${!bare && html`<span>${duration(age)}</span>`}</div>`;
}

/** "updated 3 s ago", counting. */
export function Updated({ asOf, word = "observed" }) {
  const now = useClock(1000);
  if (!asOf) return html`<span>not ${word} yet</span>`;
  return html`<span>${word} ${ago(Math.max(0, (now - new Date(asOf)) / 1000))}</span>`;
}

export function Segmented({ label, options, value, onChange }) {
  return html`<div class="segmented" role="group" aria-label=${label}>
    ${options.map(([id, text]) => html`<button type="button" key=${id} aria-pressed=${String(id === value)} onClick=${() => onChange(id)}>${text}</button>`)}</div>`;
}

/** A table column's head that sorts. `sort` is "column.asc" or "column.desc". */
export function Sort({ column, sort, onSort, children, right }) {
  const [name, direction] = sort.split(".");
  const mine = name === column;
  const next = mine && direction === "asc" ? "desc" : "asc";
  return html`<th class=${right ? "num" : ""} aria-sort=${mine ? (direction === "asc" ? "ascending" : "descending") : undefined}>
    <button type="button" onClick=${() => onSort(`${column}.${next}`)}>${children}${mine ? (direction === "asc" ? " ↑" : " ↓") : ""}</button></th>`;
}

/** Text that settles `ms` after the last key. */
export function useSettled(value, ms = 250) {
  const [settled, set] = useState(value);
  useEffect(() => { const id = setTimeout(() => set(value), ms); return () => clearTimeout(id); }, [value, ms]);
  return settled;
}

/** The width of an element, followed. → [ref, width] */
export function useWidth() {
  const ref = useRef(null);
  const [width, set] = useState(0);
  useEffect(() => {
    if (!ref.current) return undefined;
    const watch = new ResizeObserver(([entry]) => set(Math.floor(entry.contentRect.width)));
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  return [ref, width];
}

/** Numbers `theme` up whenever colours change. */
export function useTheme() {
  const [version, set] = useState(0);
  useEffect(() => {
    const bump = () => set((v) => v + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", bump);
    addEventListener("headgate-theme", bump);
    return () => { media.removeEventListener("change", bump); removeEventListener("headgate-theme", bump); };
  }, []);
  return version;
}
