// SQL for administrators: as a chosen role, reading only unless told otherwise. Every run is kept in the audit log.
import { html, useRef, useState } from "../names.js";
import { rpc, useAsk, ask, view } from "../client.js";
import { Empty } from "../ui.js";
import { Grid, Wrong } from "../widgets.js";
import { ago, count } from "../format.js";

const ROLES = [["owner", "Owner of the database"], ["service_role", "service_role"], ["authenticated", "authenticated"], ["anon", "anon"]];

export default function Sql() {
  const [text, setText] = useState("select table_schema, table_name\n  from information_schema.tables\n where table_schema = 'public'\n order by 2;");
  const [role, setRole] = useState("owner");
  const [user, setUser] = useState("");
  const [writing, setWriting] = useState(false);
  const [state, set] = useState({ busy: false, error: null, result: null });
  const area = useRef(null);
  const past = useAsk("sql-history", () => ask(view("audit").select("id,at,subject,detail").eq("action", "run SQL").order("id", { ascending: false }).limit(30)));
  const run = async () => {
    const chosen = area.current.selectionStart !== area.current.selectionEnd ? text.slice(area.current.selectionStart, area.current.selectionEnd) : text;
    set({ busy: true, error: null, result: null });
    try {
      const result = await rpc("run_sql", { statement: chosen.trim().replace(/;\s*$/, ""), as_role: role, as_user: role === "authenticated" && user ? user : null, read_only: !writing });
      set(result.error ? { busy: false, error: result.error, result: null } : { busy: false, error: null, result });
    } catch (error) { set({ busy: false, error, result: null }); }
    past.reload();
  };
  const keys = (e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); run(); } };
  return html`<div class="head"><div><h1>SQL</h1><p>Stopped after 15 seconds, 500 rows at most. Select a part to run just that.</p></div></div>
    <div class="cols"><div class="stack"><section class="card"><label class="field"><span class="hidden">Statement</span><textarea ref=${area} class="input code-input" spellcheck="false" value=${text} onInput=${(e) => setText(e.target.value)} onKeyDown=${keys}></textarea></label>
      <div class="row spread" style=${{ marginTop: "12px" }}><div class="row"><label class="field">Run as<select class="input" value=${role} onChange=${(e) => setRole(e.target.value)}>${ROLES.map(([id, name]) => html`<option key=${id} value=${id}>${name}</option>`)}</select></label>
        ${role === "authenticated" && html`<label class="field">User id<input class="input" placeholder="nobody in particular" value=${user} onInput=${(e) => setUser(e.target.value.trim())} /></label>`}
        <label class="row small" style=${{ alignSelf: "end", minHeight: "36px" }}><input type="checkbox" checked=${writing} onChange=${(e) => setWriting(e.target.checked)} />May change data</label></div>
        <button class=${`button ${writing ? "danger" : "main"}`} type="button" disabled=${state.busy || !text.trim()} onClick=${run}>${state.busy ? "Running" : writing ? "Run and change" : "Run"} <kbd>Ctrl ↵</kbd></button></div></section>
      <section class="card flush" style=${{ minHeight: "420px" }} aria-live="polite"><div class="card-head"><h2>Result</h2>${state.result && html`<span class="quiet small">${count(state.result.count)}${state.result.more ? "+" : ""} rows · ${count(state.result.ms)} ms</span>`}</div>
        ${state.error ? html`<div style=${{ padding: "0 24px 16px" }}><${Wrong} error=${state.error} /></div>` : !state.result ? html`<${Empty} icon="code" title="Nothing has run yet">Ctrl and Enter runs the text.<//>`
          : state.result.columns.length ? html`<${Grid} label="Result" columns=${state.result.columns.map((name) => ({ name }))} rows=${state.result.rows} height=${420} />` : html`<p class="pager">${writing ? `Done; ${count(state.result.count)} rows changed.` : "No rows."}</p>`}</section></div>
    <section class="card"><div class="card-head"><h2>Before</h2></div><div class="fixed" style=${{ height: "640px" }} tabindex="0" role="region" aria-label="Statements run before">${past.data && past.data.length ? html`<ul>${past.data.map((p) => html`<li class="line" key=${p.id}><button class="button plain small" style=${{ whiteSpace: "normal", textAlign: "left", font: "12.5px/1.5 var(--mono)", overflowWrap: "anywhere" }} type="button" onClick=${() => setText(p.subject)}>${p.subject}</button>
      <span class="sub" style=${{ paddingLeft: "10px" }}>${p.detail.role} · ${p.detail.error ? "failed" : `${count(p.detail.rows)} rows, ${count(p.detail.ms)} ms`} · ${ago((Date.now() - Date.parse(p.at)) / 1000)}</span></li>`)}</ul>` : html`<p class="quiet small">What you run is kept here, by everybody who runs it.</p>`}</div></section></div>`;
}
