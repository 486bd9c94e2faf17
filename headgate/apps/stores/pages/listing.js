// A list of rows of one shop: a search box, the rows, pages. Each page says what a row looks like.
import { html, useState } from "../../static/names.js";
import { Empty, Failure, Stale, useSettled } from "../../static/ui.js";
import { Bones, Pager } from "../../static/widgets.js";
import { useRows } from "./brand.js";

/** `question(from, to, words)` → rows with `total`. `heads`: [text, class]. `row(one)` → a table row. */
export function Listing({ name, label, search, heads, question, row, empty, extra }) {
  const [typed, type] = useState("");
  const words = useSettled(typed.trim());
  const { read, page, setPage } = useRows(`${name} ${words}`, (from, to) => question(from, to, words));
  return html`<div class="filters">${search && html`<label class="field wide">${search}<input class="input" type="search" value=${typed} placeholder="any" onInput=${(e) => type(e.target.value)} /></label>`}${extra}</div>
    <div class="card flush">${!read.data ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${12} height=${46} />`) : html`<${Stale} error=${read.error} retry=${read.reload} />
      ${read.data.length ? html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table><caption class="hidden">${label}</caption><thead><tr>${heads.map(([text, kind]) => html`<th key=${text} scope="col" class=${kind || ""}>${text}</th>`)}</tr></thead><tbody>${read.data.map(row)}</tbody></table></div>`
    : html`<${Empty} icon="page" title=${words ? "Nothing fits" : empty[0]} action=${!words && empty[2]}>${words ? "Search for something else." : empty[1]}<//>`}
      <${Pager} page=${page} size=${25} shown=${read.data.length} total=${read.data.total} onPage=${setPage} />`}</div>`;
}

/** Words for `ilike`, with what has a meaning there taken as it is. */
export const like = (words) => `"%${words.replace(/[\\%_]/g, "\\$&").replace(/["\\]/g, "\\$&")}%"`;
export const TO_SYNC = html`<a class="button" href="#/stores/progress">How the sync stands</a>`;
