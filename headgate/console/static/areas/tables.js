// The table browser. Administrators see every table through the console's functions and may change rows; everybody else
// sees what the REST surface shows to them: its OpenAPI names the tables, row-level security chooses the rows.
import { html, useEffect, useMemo, useState } from "../names.js";
import { ask, client, rpc, SurfaceError, useAsk } from "../client.js";
import { Badge, Empty, Failure, Stale, useSettled } from "../ui.js";
import { Bones, Confirm, Dialog, Facts, Grid, Pager, Tabs, toast, Wrong, Code } from "../widgets.js";
import { count } from "../format.js";
import { size } from "./overview.js";

const STEP = 50;
const OPS = [["eq", "="], ["neq", "≠"], ["gt", ">"], ["gte", "≥"], ["lt", "<"], ["lte", "≤"], ["like", "contains"], ["null", "is null"], ["not_null", "is not null"]];

// ---- two ways to the same thing -------------------------------------------------------------------------------
const everything = {
  catalog: () => rpc("catalog"),
  info: (schema, table) => rpc("table_info", { schema_name: schema, table_name: table }),
  rows: (schema, table, q) => rpc("table_rows", { schema_name: schema, table_name: table, filters: q.filters, order_by: q.sort && q.sort.column, descending: Boolean(q.sort && q.sort.descending), row_limit: STEP, row_offset: q.page * STEP }),
};

let described = null;
async function description() {
  if (described) return described;
  const { data } = await client.auth.getSession();
  const key = client.supabaseKey === "none" ? "" : client.supabaseKey;
  const bearer = data.session ? data.session.access_token : key;
  const headers = { ...(key && { apikey: key }), ...(bearer && { authorization: `Bearer ${bearer}` }) };
  const reply = await fetch("/rest/v1/", { headers }).catch((error) => { throw new SurfaceError(error); });
  if (!reply.ok) throw new SurfaceError(await reply.json().catch(() => ({ message: `The server answered ${reply.status}.` })));
  const openapi = await reply.json();
  return (described = openapi.definitions || {});
}

const permitted = {
  catalog: async () => { described = null; return Object.entries(await description()).map(([name, d]) => ({ schema: "public", name, kind: "table", comment: d.description })); },
  info: async (schema, table) => {
    const found = (await description())[table];
    if (!found) throw new SurfaceError({ code: "42P01", message: "There is no such table, or it is not for you." });
    const columns = Object.entries(found.properties || {}).map(([name, p]) => ({ name, type: p.format || p.type, key: /<pk\/>/.test(p.description || ""), comment: (p.description || "").replace(/Note:[\s\S]*$/, "").trim() }));
    return { kind: "table", comment: found.description, columns, policies: [], indexes: [] };
  },
  rows: async (schema, table, q) => {
    let asked = client.from(table).select("*", { count: "estimated" });
    for (const f of q.filters) {
      if (f.op === "null") asked = asked.is(f.column, null);
      else if (f.op === "not_null") asked = asked.not(f.column, "is", null);
      else if (f.op === "like") asked = asked.ilike(f.column, `%${f.value}%`);
      else asked = asked.filter(f.column, f.op, f.value);
    }
    if (q.sort) asked = asked.order(q.sort.column, { ascending: !q.sort.descending });
    const rows = await ask(asked.range(q.page * STEP, q.page * STEP + STEP - 1));
    return { rows: rows.map((row) => q.columns.map((c) => row[c.name])), total: rows.total, more: false };
  },
};

export default function Tables({ rest, who }) {
  const source = who.admin ? everything : permitted;
  const [words, setWords] = useState("");
  const catalog = useAsk(`catalog ${who.admin} ${who.user && who.user.id}`, source.catalog);
  const [schema, table] = rest;
  const groups = useMemo(() => {
    const found = new Map();
    for (const t of catalog.data || []) {
      if (words && !`${t.schema}.${t.name}`.toLowerCase().includes(words.toLowerCase())) continue;
      found.set(t.schema, [...(found.get(t.schema) || []), t]);
    }
    return [...found];
  }, [catalog.data, words]);
  const entry = (catalog.data || []).find((t) => t.schema === schema && t.name === table);
  return html`<div class="head"><div><h1>${table ? table : "Tables"}</h1><p>${who.admin ? "Every table of the database. What you change is kept in the audit log." : "What row-level security lets you read."}</p></div></div>
    <div class="split"><div class="card picker"><input class="input" type="search" aria-label="Find a table" placeholder="Find a table" value=${words} onInput=${(e) => setWords(e.target.value)} />
      ${catalog.error && html`<${Wrong} error=${catalog.error} />`}
      ${!catalog.data ? !catalog.error && html`<${Bones} rows=${10} />` : html`<nav class="fixed" aria-label="Tables" tabindex="0" style=${{ flex: 1 }}>${groups.map(([name, list]) => html`<h2 key=${name}>${name}</h2><ul style=${{ overflow: "visible" }}>${list.map((t) => html`<li key=${t.name}><a href=${`#/tables/${encodeURIComponent(t.schema)}/${encodeURIComponent(t.name)}`} aria-current=${t === entry ? "page" : undefined} title=${t.comment || t.name}><span>${t.name}</span><small>${t.rows == null || t.kind === "view" ? (t.kind === "view" ? "view" : "") : count(Math.round(t.rows))}</small></a></li>`)}</ul>`)}
        ${!groups.length && html`<p class="quiet small" style=${{ padding: "8px" }}>${words ? "No table is called that." : "No table is open to you. Sign in to see more."}</p>`}</nav>`}</div>
    ${table ? html`<${Table} key=${`${schema}.${table}`} source=${source} schema=${schema} table=${table} entry=${entry} admin=${who.admin} />`
      : html`<div class="card" style=${{ minHeight: "720px" }}><${Empty} icon="table" title="Choose a table">Its rows appear here, with filters, sorting and pages.<//></div>`}</div>`;
}

function Table({ source, schema, table, entry, admin }) {
  const [tab, setTab] = useState("rows");
  const [filters, setFilters] = useState([]);
  const [sort, setSort] = useState(null);
  const [page, setPage] = useState(0);
  const [open, setOpen] = useState(null);
  const info = useAsk(`info ${schema}.${table}`, () => source.info(schema, table));
  const settled = useSettled(filters, 300);
  const ready = settled.filter((f) => f.column && (f.op.endsWith("null") || f.value !== ""));
  useEffect(() => setPage(0), [JSON.stringify(ready), sort]);
  const columns = info.data ? info.data.columns : null;
  const query = { filters: ready, sort, page, columns };
  const read = useAsk(columns && JSON.stringify([schema, table, ready, sort, page]), () => source.rows(schema, table, query));
  if (info.error) return html`<div class="card" style=${{ minHeight: "720px" }}><${Failure} error=${info.error} retry=${info.reload} /></div>`;
  const keyed = columns && columns.some((c) => c.key) && info.data.kind === "table";
  const flip = (column) => setSort(sort && sort.column === column ? (sort.descending ? null : { column, descending: true }) : { column, descending: false });
  return html`<div class="card flush"><div class="card-head"><div class="row"><${Tabs} label="Show" options=${[["rows", "Rows"], ["about", "Structure"]]} value=${tab} onChange=${setTab} />
        ${entry && entry.bytes != null && html`<span class="quiet small">${size(entry.bytes)}</span>`}${entry && entry.rls === false && schema === "public" && html`<${Badge} tone="warn">no row-level security<//>`}</div>
      <div class="row">${tab === "rows" && html`<button class="button" type="button" disabled=${!columns} onClick=${() => setFilters([...filters, { column: columns[0].name, op: "eq", value: "" }])}>Filter</button>`}
        <button class="button" type="button" onClick=${read.reload}>Refresh</button>${admin && keyed && html`<button class="button main" type="button" onClick=${() => setOpen({ row: null })}>New row</button>`}</div></div>
    ${tab === "about" ? columns && html`<${Structure} info=${info.data} />` : html`
    ${filters.length > 0 && html`<div class="filters" style=${{ padding: "0 24px" }}>${filters.map((f, i) => html`<${Filter} key=${i} filter=${f} columns=${columns} onChange=${(next) => setFilters(filters.map((o, n) => (n === i ? next : o)).filter(Boolean))} />`)}</div>`}
    ${read.data && html`<${Stale} error=${read.error} retry=${read.reload} />`}
    ${!read.data ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<div style=${{ height: "600px" }}><${Bones} rows=${11} /></div>`)
      : read.data.rows.length === 0 && read.error ? null
      : html`<${Grid} label=${`Rows of ${table}`} columns=${columns} rows=${read.data.rows} sort=${sort} onSort=${flip} busy=${read.loading} onRow=${(row) => setOpen({ row })} height=${600} />
        ${read.data.rows.length === 0 && html`<p class="pager quiet small" role="status">${ready.length ? "No row passes the filters." : admin ? "The table is empty." : "The table is empty, or row-level security shows you none of it."}</p>`}
        <${Pager} page=${page} size=${STEP} shown=${read.data.rows.length} total=${read.data.total} more=${read.data.more} onPage=${setPage} />`}`}
    ${open && html`<${Row} schema=${schema} table=${table} columns=${columns} row=${open.row} editable=${admin && keyed} onClose=${() => setOpen(null)} onDone=${() => { setOpen(null); read.reload(); }} />`}</div>`;
}

function Filter({ filter, columns, onChange }) {
  const set = (part) => onChange({ ...filter, ...part });
  return html`<div class="row" style=${{ flex: "1 1 100%" }} role="group" aria-label="Filter"><select class="input" style=${{ width: "180px" }} aria-label="Column" value=${filter.column} onChange=${(e) => set({ column: e.target.value })}>${columns.map((c) => html`<option key=${c.name} value=${c.name}>${c.name}</option>`)}</select>
    <select class="input" style=${{ width: "120px" }} aria-label="Comparison" value=${filter.op} onChange=${(e) => set({ op: e.target.value })}>${OPS.map(([id, text]) => html`<option key=${id} value=${id}>${text}</option>`)}</select>
    ${!filter.op.endsWith("null") && html`<input class="input" style=${{ width: "220px" }} aria-label="Value" value=${filter.value} onInput=${(e) => set({ value: e.target.value })} />`}
    <button class="button plain small" type="button" onClick=${() => onChange(null)}>Remove</button></div>`;
}

function Structure({ info }) {
  return html`<div style=${{ padding: "4px 24px 24px" }} class="stack">${info.comment && html`<p class="quiet">${info.comment}</p>`}
    <div class="scroll" tabindex="0" role="region" aria-label="Columns"><table><thead><tr><th scope="col">Column</th><th scope="col">Type</th><th scope="col">Default</th><th scope="col">About</th></tr></thead><tbody>${info.columns.map((c) => html`<tr key=${c.name}><td class="nowrap">${c.key ? html`<span class="keymark" title="primary key">◆ </span>` : ""}${c.name}</td><td class="nowrap quiet">${c.type}${c.required ? " · required" : ""}</td><td class="quiet small">${c.default || (c.generated ? "generated" : "–")}</td><td class="quiet small">${c.comment || ""}${c.references ? ` → ${c.references}` : ""}</td></tr>`)}</tbody></table></div>
    ${info.policies.length > 0 && html`<div><h2>Row-level security</h2><${Code} label="Policies" text=${info.policies.map((p) => `${p.name}: ${p.command} to ${p.roles}${p.using ? `\n  using ${p.using}` : ""}${p.check ? `\n  check ${p.check}` : ""}`).join("\n")} /></div>`}
    ${info.indexes.length > 0 && html`<div><h2>Indexes</h2><${Code} label="Indexes" text=${info.indexes.join("\n")} /></div>`}</div>`;
}

/** One row as a form. A field left as it was is not written; a tick makes it null. */
function Row({ schema, table, columns, row, editable, onClose, onDone }) {
  const text = (v) => (v === null || v === undefined ? null : typeof v === "object" ? JSON.stringify(v) : String(v));
  const before = useMemo(() => Object.fromEntries(columns.map((c, i) => [c.name, row ? text(row[i]) : undefined])), []);
  const [values, setValues] = useState(before);
  const [state, set] = useState({ busy: false, error: null });
  const [gone, ask_gone] = useState(false);
  const changed = Object.fromEntries(Object.entries(values).filter(([name, v]) => v !== before[name]));
  const key = Object.fromEntries(columns.filter((c) => c.key).map((c) => [c.name, before[c.name]]));
  const call = (action, given) => rpc("change_row", { schema_name: schema, table_name: table, action, key: row ? key : {}, values: given });
  const save = async (event) => {
    event.preventDefault();
    set({ busy: true, error: null });
    try { await call(row ? "update" : "insert", changed); toast(row ? "The row is saved" : "The row is added"); onDone(); } catch (error) { set({ busy: false, error }); }
  };
  if (gone) return html`<${Confirm} title="Delete this row?" sure="Delete it" onClose=${() => ask_gone(false)} onSure=${async () => { await call("delete", {}); toast("The row is deleted"); onDone(); }}><p>${table}: ${Object.entries(key).map(([k, v]) => `${k} = ${v}`).join(", ")}. This cannot be taken back.</p><//>`;
  if (!editable) return html`<${Dialog} title=${`Row of ${table}`} onClose=${onClose} wide><${Facts} items=${columns.map((c) => [c.name, before[c.name] === null ? html`<span class="null">null</span>` : before[c.name]])} /><//>`;
  return html`<${Dialog} title=${row ? `Row of ${table}` : `New row of ${table}`} onClose=${onClose} wide><form class="form" onSubmit=${save}><${Wrong} error=${state.error} />
    ${columns.map((c) => html`<div key=${c.name}><label class="field"><span>${c.name} <span class="quiet tiny">${c.type}${c.key ? " · key" : ""}${c.generated ? " · generated" : ""}</span></span>
      ${(values[c.name] || "").length > 80 || /json|text\[\]/.test(c.type) ? html`<textarea class="input" disabled=${c.generated || (row && (before[c.name] || "").length >= 4000)} value=${values[c.name] ?? ""} onInput=${(e) => setValues({ ...values, [c.name]: e.target.value })}></textarea>`
      : html`<input class="input" disabled=${c.generated} value=${values[c.name] ?? ""} placeholder=${values[c.name] === null ? "null" : row ? "" : c.default || ""} onInput=${(e) => setValues({ ...values, [c.name]: e.target.value })} />`}</label>
      ${!c.key && !c.generated && !c.required && html`<label class="tiny quiet"><input type="checkbox" checked=${values[c.name] === null} onChange=${(e) => setValues({ ...values, [c.name]: e.target.checked ? null : before[c.name] ?? "" })} /> null</label>`}</div>`)}
    <div class="dialog-foot">${row && html`<button class="button danger" type="button" onClick=${() => ask_gone(true)}>Delete</button>`}<button class="button" type="button" onClick=${onClose}>Cancel</button><button class="button main" disabled=${state.busy || !Object.keys(changed).length}>Save</button></div></form><//>`;
}
