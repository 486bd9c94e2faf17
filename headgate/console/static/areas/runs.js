// Runs: live progress, what each saw and rejected; one run with its pages, findings and rejects.
import { html, useEffect, useRef, useState } from "../names.js";
import { ask, useAsk, useWho, view } from "../client.js";
import { Badge, Empty, Failure, Stale, Stat, useSettled } from "../ui.js";
import { Bones, Code, Facts, Pager, Progress, pace } from "../widgets.js";
import { every, moved, TONES, useRuns } from "../live.js";
import { ago, count, duration, when } from "../format.js";
import { Held } from "./holds.js";

const STEP = 25;
const STATES = ["running", "succeeded", "failed", "held", "deferred", "cancelled", "superseded", "abandoned"];
const since = (iso) => (Date.now() - Date.parse(iso)) / 1000;

export default function Runs({ rest, query }) {
  return rest[0] ? html`<${Run} id=${Number(rest[0])} />` : html`<${List} query=${query} />`;
}

function took(r) {
  return duration((Date.parse(r.finished_at || new Date()) - Date.parse(r.started_at)) / 1000);
}

function List({ query }) {
  const [state, setState] = useState("");
  const [source, setSource] = useState(query.get("source") || "");
  const [page, setPage] = useState(0);
  const words = useSettled(source.trim());
  useEffect(() => setPage(0), [state, words]);
  const again = useRef(() => {});
  const live = useRuns(() => again.current());
  const read = useAsk(JSON.stringify(["runs", state, words, page]), () => {
    let asked = view("runs").select("id,app,source,key,state,seen,expected,upserted,rejected,rate,eta_s,error,started_at,finished_at").order("id", { ascending: false });
    if (state) asked = asked.eq("state", state);
    if (words) asked = asked.ilike("source", `%${words}%`);
    return ask(asked.range(page * STEP, page * STEP + STEP - 1));
  }, { every: every(live.live) });
  again.current = read.reload;
  const runs = moved(read.data || [], live.rows);
  return html`<div class="head"><div><h1>Runs</h1><p>Each run of a source, the newest first; those in progress move by themselves.</p></div></div>
    <div class="filters"><label class="field">State<select class="input" value=${state} onChange=${(e) => setState(e.target.value)}><option value="">Any</option>${STATES.map((s) => html`<option key=${s}>${s}</option>`)}</select></label>
      <label class="field wide">Source<input class="input" type="search" value=${source} placeholder="any" onInput=${(e) => setSource(e.target.value)} /></label></div>
    <div class="card flush">${read.data == null && read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : read.data == null ? html`<${Bones} rows=${14} height=${46} />` : html`<${Stale} error=${read.error} retry=${read.reload} />
      ${!read.data.length ? html`<${Empty} icon="runs" title=${state || words ? "No run fits" : "No run yet"}>${state || words ? "Loosen the filters above." : html`The timetable starts them; by hand: <code>headgate run SOURCE</code>.`}<//>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Runs"><table><thead><tr><th scope="col">Run</th><th scope="col">State</th><th scope="col" class="moving">Progress</th><th class="num" scope="col">Written</th><th class="num" scope="col">Rejected</th><th class="num" scope="col">Took</th><th class="num" scope="col">Started</th></tr></thead>
      <tbody>${runs.map((r) => html`<tr key=${r.id}><td><a class="name" href=${`#/runs/${r.id}`}>${r.source}</a><span class="sub">#${r.id}${r.key ? ` · ${r.key}` : ""}</span></td><td><${Badge} tone=${TONES[r.state]}>${r.state}<//></td>
        <td><${Progress} seen=${r.state === "running" ? r.seen : 1} expected=${r.state === "running" ? r.expected : 1} tone=${r.state === "running" ? "" : TONES[r.state] || ""} label=${`Progress of run ${r.id}`} /><span class="sub">${r.state === "running" ? pace(r) : `${count(r.seen)} rows seen`}</span></td>
        <td class="num">${count(r.upserted)}</td><td class="num">${r.rejected ? html`<${Badge} tone="warn">${count(r.rejected)}<//>` : "0"}</td><td class="num">${took(r)}</td><td class="num quiet" title=${when(r.started_at)}>${ago(since(r.started_at))}</td></tr>`)}</tbody></table></div>`}
      <${Pager} page=${page} size=${STEP} shown=${read.data.length} onPage=${setPage} />`}</div>`;
}

function Run({ id }) {
  const who = useWho();
  const again = useRef(() => {});
  const live = useRuns(() => again.current());
  const read = useAsk(`run ${id}`, async () => {
    const [run, steps, rejects, findings] = await Promise.all([
      ask(view("runs").select("*").eq("id", id).maybeSingle()),
      ask(view("run_steps").select("*").eq("run_id", id).order("number", { ascending: false }).limit(50)),
      ask(view("rejects").select("id,line,reason,raw").eq("run_id", id).order("line").limit(50)),
      ask(view("findings").select("*").eq("run_id", id).order("id").limit(50)),
    ]);
    return { run, steps, rejects, findings };
  }, { every: every(live.live) });
  again.current = read.reload;
  const crumb = html`<a class="crumb" href="#/runs">← Runs</a>`;
  if (!read.data) return html`${crumb}<h1 key="wait-h">Run ${id}</h1><div key="wait" class="card" style=${{ marginTop: "24px" }}>${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${12} />`}</div>`;
  const { run, steps, rejects, findings } = read.data;
  const r = run && moved([run], live.rows)[0];
  if (!r) return html`${crumb}<h1>Run ${id}</h1><${Empty} icon="runs" title="There is no such run">It was removed by retention, or it is not yours.<//>`;
  return html`${crumb}<div class="head" key="head"><div><h1>${r.source}</h1><p>Run ${r.id}${r.key ? ` for ${r.key}` : ""}, started ${when(r.started_at)}</p></div><${Badge} tone=${TONES[r.state]}>${r.state}<//></div>
    <div class="stack" key="run"><section class="card"><${Progress} seen=${r.state === "running" ? r.seen : 1} expected=${r.state === "running" ? r.expected : 1} tone=${r.state === "running" ? "" : TONES[r.state] || ""} label="Progress of this run" /><p class="small quiet" style=${{ marginTop: "8px" }}>${r.state === "running" ? pace(r) : `${count(r.seen)} rows seen in ${took(r)}`}</p></section>
    <dl class="stats"><${Stat} label="Written" value=${count(r.upserted)} /><${Stat} label="Unchanged" value=${count(r.unchanged)} /><${Stat} label="Stale" value=${count(r.stale)} /><${Stat} label="Rejected" value=${count(r.rejected)} tone=${r.rejected ? "up" : ""} /><${Stat} label="Deleted" value=${count(r.deleted)} /><${Stat} label="Held" value=${count(r.held)} /><${Stat} label="Rows a second" value=${count(r.rate, 1)} /></dl>
    ${r.error && html`<section class="card"><div class="card-head"><h2>Error</h2></div><${Code} label="Error" text=${JSON.stringify(r.error, null, 2)} /></section>`}
    ${findings.length > 0 && html`<section class="card"><div class="card-head"><h2>Findings</h2></div>${findings.map((f) => html`<div class="line" key=${f.id}><strong>${f.check_name}</strong> <${Badge} tone=${f.action === "warn" ? "warn" : "bad"}>${f.action}<//> ${f.message}<span class="sub">${JSON.stringify(f.finding)}</span></div>`)}</section>`}
    ${who.admin && (r.held > 0 || r.state === "held") && html`<${Held} run=${r.id} />`}
    ${!who.admin && r.state === "held" && html`<p class="small quiet">The held batch waits until an administrator releases or discards it.</p>`}
    <div class="pairs"><section class="card flush"><div class="card-head"><h2>Pages</h2></div><div class="fixed" style=${{ maxHeight: "420px" }} tabindex="0" role="region" aria-label="Pages of the run"><table><thead><tr><th scope="col">Page</th><th scope="col">State</th><th class="num" scope="col">Seen</th><th class="num" scope="col">Written</th><th class="num" scope="col">Rejected</th></tr></thead><tbody>${steps.map((s) => html`<tr key=${s.id}><td>${s.number} <span class="quiet">${s.name}</span></td><td><${Badge} tone=${s.state === "promoted" ? "good" : "warn"}>${s.state}<//></td><td class="num">${count(s.seen)}</td><td class="num">${count(s.upserted)}</td><td class="num">${count(s.rejected)}</td></tr>`)}</tbody></table></div></section>
    <section class="card"><div class="card-head"><div><h2>Rejected rows</h2><p>The first 50, and why.</p></div></div><div class="fixed" style=${{ maxHeight: "420px" }} tabindex="0" role="region" aria-label="Rejected rows">${rejects.length ? rejects.map((x) => html`<div class="line" key=${x.id}><strong>line ${count(x.line)}</strong> ${x.reason}<span class="sub" style=${{ fontFamily: "var(--mono)", overflowWrap: "anywhere" }}>${x.raw.slice(0, 300)}</span></div>`) : html`<p class="quiet small">None.</p>`}</div></section></div>
    <section class="card"><div class="card-head"><h2>Details</h2></div><${Facts} items=${[["Job", r.job_id && html`<a class="name" href=${`#/jobs/${r.job_id}`}>${r.job_id}</a>`], ["Attempt", r.attempt], ["Arguments", html`<code class="code">${JSON.stringify(r.args)}</code>`], ["Last progress", when(r.progress_at)], ["Finished", r.finished_at ? when(r.finished_at) : "not yet"]]} /></section></div>`;
}
