// A list of rows of one shop: a search box, choices, sorted heads, the rows, pages. Each page says what a row looks like.
import { html, useState } from "../../static/names.js";
import { useAsk } from "../../static/client.js";
import { Empty, Failure, Stale, useSettled } from "../../static/ui.js";
import { Bones, Pager } from "../../static/widgets.js";

const SIZE = 25;
const places = new Map();

/** State that is still there when the reader comes back to the page, until the console is left. */
export function useKept(key, initial) {
  const [, draw] = useState(0);
  return [places.has(key) ? places.get(key) : initial, (next) => { places.set(key, next); draw((n) => n + 1); }];
}

/**
 * `question(from, to, {words, sort, ...choices})` → rows with `total`; one more than a page is asked for, so that there is
 * a next page exactly when there is one. `heads`: [text, class, column to sort by]. `row(one)` → a table row.
 * `choices`: {name: [label, [[value, text], …]]}, the first of each being everything. `empty`: [title, text, action].
 */
export function Listing({ name, label, search, placeholder, heads, question, row, empty, choices = {}, sort: first = "", above }) {
  const [kept, keep] = useKept(name, { typed: "", chosen: {}, sort: first, page: 0 });
  const words = useSettled(kept.typed.trim());
  const asked = { words, sort: kept.sort, ...kept.chosen };
  const read = useAsk(`${name} ${JSON.stringify(asked)} ${kept.page}`, async () => {
    const rows = await question(kept.page * SIZE, kept.page * SIZE + SIZE, asked);
    return { rows: rows.slice(0, SIZE), more: rows.length > SIZE, total: rows.total, page: kept.page };
  }, { every: 15000 });
  const narrowed = words || Object.values(kept.chosen).some(Boolean);
  const change = (what) => keep({ ...kept, page: 0, ...what });
  return html`<div class="filters">${search && html`<label class="field wide">${search}<input class="input" type="search" value=${kept.typed} placeholder=${placeholder || ""} onInput=${(e) => change({ typed: e.target.value })} /></label>`}
      ${Object.entries(choices).map(([id, [text, options]]) => html`<label class="field" key=${id}>${text}<select class="input" value=${kept.chosen[id] || ""} onChange=${(e) => change({ chosen: { ...kept.chosen, [id]: e.target.value } })}>${options.map(([value, shown]) => html`<option key=${value} value=${value}>${shown}</option>`)}</select></label>`)}</div>
    ${above}<div class="card flush">${!read.data ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${12} height=${46} />`) : html`<${Stale} error=${read.error} retry=${read.reload} />
      ${read.data.rows.length ? html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table><caption class="hidden">${label}</caption><thead><tr>${heads.map((head) => html`<${Head} key=${head[0]} head=${head} sort=${kept.sort} onSort=${(sort) => change({ sort })} />`)}</tr></thead><tbody>${read.data.rows.map(row)}</tbody></table></div>
        <${Place} read=${read.data} onPage=${(page) => keep({ ...kept, page })} />`
    : narrowed || kept.page ? html`<${Empty} icon="page" title="Nothing fits" action=${html`<button class="button" type="button" onClick=${() => change({ typed: "", chosen: {} })}>Show everything</button>`}>${words ? `There is no match for “${words}”${Object.values(kept.chosen).some(Boolean) ? " with these choices" : ""}.` : "Nothing is like that at the moment."}<//>`
    : html`<${Empty} icon="page" title=${empty[0]} action=${empty[2]}>${empty[1]}<//>`}`}</div>`;
}

/** A column's head; with a column behind it, it sorts: downwards first, for the newest and largest matter most. */
function Head({ head: [text, kind, column], sort, onSort }) {
  if (!column) return html`<th scope="col" class=${kind || ""}>${text}</th>`;
  const [name, direction] = sort.split(".");
  const mine = name === column;
  return html`<th scope="col" class=${kind || ""} aria-sort=${mine ? (direction === "asc" ? "ascending" : "descending") : undefined}><button type="button" onClick=${() => onSort(`${column}.${mine && direction === "desc" ? "asc" : "desc"}`)}>${text}${mine ? (direction === "asc" ? " ↑" : " ↓") : ""}</button></th>`;
}

/** Totals are estimates for large tables: what is certain goes before. */
function Place({ read: { rows, more, total, page }, onPage }) {
  if (!page && !more && rows.length < SIZE) return html`<div class="pager"><span class="quiet small">${rows.length === 1 ? "1 in all" : `${rows.length} in all`}</span></div>`;
  const end = page * SIZE + rows.length;
  const low = more && !(total > end);
  return html`<${Pager} page=${page} size=${SIZE} shown=${rows.length} total=${more ? Math.max(total || 0, end) : end} more=${low} onPage=${onPage} />`;
}

/** A question's order by "column.direction", with the id behind it so that pages do not overlap. Unknown values come last. */
export function sorted(asked, sort) {
  const [column, direction] = sort.split(".");
  const ascending = direction === "asc";
  // created_at is never unknown, and its index serves only the default place of nulls.
  return asked.order(column, column === "created_at" ? { ascending } : { ascending, nullsFirst: false }).order("shopify_id", { ascending });
}

/** Words for `ilike`, with what has a meaning there taken as it is. */
export const like = (words) => `"%${words.replace(/[\\%_]/g, "\\$&").replace(/["\\]/g, "\\$&")}%"`;
export const TO_SYNC = html`<a class="button" href="#/stores/progress">How the sync stands</a>`;
