// The queue, the timetable and the upstream hosts. Jobs can be retried and cancelled, schedules stopped and started.
import { html, useEffect, useState } from "../names.js";
import { ask, rpc, useAsk, view } from "../client.js";
import { Badge, Empty, Failure, Stale, useSettled } from "../ui.js";
import { act, Bones, Code, Facts, Pager, Tabs, Wrong } from "../widgets.js";
import { ago, count, duration, until, when } from "../format.js";
import { size } from "./overview.js";

const STEP = 25;
const STATES = ["scheduled", "ready", "running", "succeeded", "cancelled", "failed"];
const TONES = { succeeded: "good", running: "run", failed: "bad", scheduled: "", ready: "" };
const since = (iso) => (Date.now() - Date.parse(iso)) / 1000;

export default function Jobs({ rest, query }) {
  const [tab, setTab] = useState("jobs");
  if (rest[0]) return html`<${Job} id=${Number(rest[0])} />`;
  return html`<div class="head"><div><h1>Jobs</h1><p>What waits, runs and failed; when it runs; and how the upstreams fare.</p></div><${Tabs} label="Show" options=${[["jobs", "Queue"], ["timetable", "Timetable"], ["hosts", "Hosts"], ["workers", "Workers"]]} value=${tab} onChange=${setTab} /></div>
    ${tab === "jobs" ? html`<${Queue} query=${query} />` : tab === "timetable" ? html`<${Timetable} />` : tab === "hosts" ? html`<${Hosts} />` : html`<${Workers} />`}`;
}

/** A list that is read every two seconds, its loading, failure and absence. */
function List({ read, empty, children }) {
  if (read.data == null) return read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${12} />`;
  return html`<${Stale} error=${read.error} retry=${read.reload} />${read.data.length ? children(read.data) : empty}`;
}

function Queue({ query }) {
  const [state, setState] = useState(query.get("state") || "");
  const [kind, setKind] = useState(query.get("kind") || "");
  const [page, setPage] = useState(0);
  const words = useSettled(kind.trim());
  useEffect(() => setPage(0), [state, words]);
  const read = useAsk(JSON.stringify(["jobs", state, words, page]), () => {
    let asked = view("jobs").select("id,kind,key,state,attempt,max_attempts,error_code,error,run_at,created_at,started_at,finished_at").order("id", { ascending: false });
    if (state) asked = asked.eq("state", state);
    if (words) asked = asked.ilike("kind", `%${words}%`);
    return ask(asked.range(page * STEP, page * STEP + STEP - 1));
  }, { every: 2000 });
  const change = (id, action) => act(() => rpc("act_on_job", { job: id, action }).then(read.reload), action === "retry" ? `Job ${id} runs again` : `Job ${id} is cancelled`);
  return html`<div class="filters"><label class="field">State<select class="input" value=${state} onChange=${(e) => setState(e.target.value)}><option value="">Any</option>${STATES.map((s) => html`<option key=${s}>${s}</option>`)}</select></label><label class="field wide">Kind<input class="input" type="search" value=${kind} placeholder="any" onInput=${(e) => setKind(e.target.value)} /></label></div>
    <div class="card flush"><${List} read=${read} empty=${html`<${Empty} icon="jobs" title="No job fits">${state || words ? "Loosen the filters above." : "The timetable adds them."}<//>`}>${(rows) => html`<div class="scroll" tabindex="0" role="region" aria-label="Jobs"><table><thead><tr><th scope="col">Job</th><th scope="col">State</th><th class="num" scope="col">Attempt</th><th scope="col">Last error</th><th class="num" scope="col">Since</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead>
      <tbody>${rows.map((j) => html`<tr key=${j.id}><td><a class="name" href=${`#/jobs/${j.id}`}>${j.kind}</a><span class="sub">#${j.id}${j.key ? ` · ${j.key}` : ""}</span></td><td><${Badge} tone=${TONES[j.state]}>${j.state}<//></td><td class="num">${j.attempt} of ${j.max_attempts}</td><td class="small" style=${{ maxWidth: "360px", overflowWrap: "anywhere" }}>${j.error ? `${j.error_code || ""} ${j.error.slice(0, 140)}` : html`<span class="quiet">–</span>`}</td>
        <td class="num quiet">${ago(since(j.finished_at || j.started_at || j.created_at))}</td><td class="num"><${Actions} job=${j} change=${change} /></td></tr>`)}</tbody></table></div>`}<//>
      ${read.data && html`<${Pager} page=${page} size=${STEP} shown=${read.data.length} onPage=${setPage} />`}</div>`;
}

function Actions({ job: j, change }) {
  if (["failed", "cancelled"].includes(j.state)) return html`<button class="button small" type="button" aria-label=${`Retry job ${j.id}`} onClick=${() => change(j.id, "retry")}>Retry</button>`;
  if (["scheduled", "ready", "running"].includes(j.state)) return html`<button class="button small" type="button" aria-label=${`Cancel job ${j.id}`} onClick=${() => change(j.id, "cancel")}>Cancel</button>`;
  return html`<span></span>`;
}

function Job({ id }) {
  const read = useAsk(`job ${id}`, () => ask(view("jobs").select("*").eq("id", id).maybeSingle()).then((job) => [job].filter(Boolean)), { every: 2000 });
  const change = (job, action) => act(() => rpc("act_on_job", { job, action }).then(read.reload), action === "retry" ? `Job ${job} runs again` : `Job ${job} is cancelled`);
  return html`<a class="crumb" href="#/jobs">← Jobs</a><${List} read=${read} empty=${html`<h1>Job ${id}</h1><${Empty} icon="jobs" title="There is no such job">Finished jobs are removed after some days.<//>`}>${([j]) => html`<div class="head"><div><h1>${j.kind}</h1><p>Job ${j.id}${j.key ? ` for ${j.key}` : ""}</p></div><div class="row"><${Badge} tone=${TONES[j.state]}>${j.state}<//><${Actions} job=${j} change=${change} /></div></div>
    <div class="stack">${j.error && html`<${Wrong} error=${{ message: j.error, code: j.error_code }} />`}<section class="card"><${Facts} items=${[["Attempt", `${j.attempt} of ${j.max_attempts}${j.excused ? `, ${j.excused} excused` : ""}`], ["Queue", j.queue], ["Priority", j.priority], ["Worker", j.worker], ["Runs at", when(j.run_at)], ["Created", when(j.created_at)], ["Started", j.started_at && when(j.started_at)], ["Finished", j.finished_at && when(j.finished_at)]]} /></section>
    <section class="card"><div class="card-head"><h2>Arguments</h2></div><${Code} label="Arguments" text=${JSON.stringify(j.args, null, 2)} /></section>${j.result && html`<section class="card"><div class="card-head"><h2>Result</h2></div><${Code} label="Result" text=${JSON.stringify(j.result, null, 2)} /></section>`}</div>`}<//>`;
}

function Timetable() {
  const read = useAsk("schedules", () => ask(view("schedules").select("*").order("name")), { every: 2000 });
  const flip = (s) => act(() => rpc("switch_schedule", { name: s.name, enabled: !s.enabled }).then(read.reload), s.enabled ? `${s.name} is stopped` : `${s.name} runs again`);
  return html`<div class="card flush"><${List} read=${read} empty=${html`<${Empty} icon="jobs" title="No timetable yet">A worker writes it when it starts: <code>headgate work</code>.<//>`}>${(rows) => html`<div class="scroll" tabindex="0" role="region" aria-label="Timetable"><table><thead><tr><th scope="col">Schedule</th><th scope="col">When</th><th class="num" scope="col">Next</th><th class="num" scope="col">Last</th><th class="num" scope="col">Skipped</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead><tbody>${rows.map((s) => html`<tr key=${s.name}><td>${s.name}<span class="sub">${s.kind === s.name ? s.owner_app : s.kind}</span></td><td class="nowrap">${s.cron ? html`<code class="code">${s.cron}</code> ${s.timezone}` : `every ${s.every_s < 1 ? `${s.every_s} s` : duration(s.every_s)}`}</td><td class="num">${s.enabled ? until(s.next_at) : html`<${Badge} tone="warn">stopped<//>`}</td><td class="num quiet">${s.last_at ? ago(since(s.last_at)) : "never"}</td><td class="num">${count(s.skipped)}</td>
    <td class="num"><button class="button small" type="button" aria-label=${`${s.enabled ? "Stop" : "Start"} ${s.name}`} onClick=${() => flip(s)}>${s.enabled ? "Stop" : "Start"}</button></td></tr>`)}</tbody></table></div>`}<//></div>`;
}

function Hosts() {
  const read = useAsk("hosts", () => ask(view("hosts").select("*").order("host")), { every: 2000 });
  return html`<div class="card flush"><${List} read=${read} empty=${html`<${Empty} icon="bolt" title="No upstream was asked yet">Each host appears with its first request.<//>`}>${(rows) => html`<div class="scroll" tabindex="0" role="region" aria-label="Hosts"><table><thead><tr><th scope="col">Host</th><th scope="col">Breaker</th><th class="num" scope="col">A second</th><th class="num" scope="col">Requests</th><th class="num" scope="col">Failed</th><th class="num" scope="col">Throttled</th><th class="num" scope="col">Received</th><th class="num" scope="col">Latency</th><th scope="col">Last error</th></tr></thead><tbody>${rows.map((h) => html`<tr key=${h.host}><td>${h.host}</td><td><${Badge} tone=${h.breaker === "closed" ? "good" : h.breaker === "open" ? "bad" : "warn"}>${h.breaker.replace("_", " ")}<//></td><td class="num">${count(h.rate_per_s, 1)}</td><td class="num">${count(h.requests)}</td><td class="num">${count(h.bad)}</td><td class="num">${count(h.throttled)}</td><td class="num">${size(h.bytes)}</td><td class="num">${h.last_latency_s == null ? "–" : `${count(h.last_latency_s * 1000)} ms`}</td><td class="small quiet">${h.last_error || "–"}</td></tr>`)}</tbody></table></div>`}<//></div>`;
}

function Workers() {
  const read = useAsk("workers", () => ask(view("workers").select("*").order("id", { ascending: false }).limit(50)), { every: 2000 });
  return html`<div class="card flush"><${List} read=${read} empty=${html`<${Empty} icon="jobs" title="No worker has started yet">Start one: <code>headgate work</code>.<//>`}>${(rows) => html`<div class="scroll" tabindex="0" role="region" aria-label="Workers"><table><thead><tr><th scope="col">Worker</th><th scope="col">State</th><th class="num" scope="col">Running</th><th class="num" scope="col">Heartbeat</th><th class="num" scope="col">Started</th></tr></thead><tbody>${rows.map((w) => html`<tr key=${w.id}><td>${w.name}<span class="sub">${w.queues.join(", ")}</span></td><td>${w.stopped_at ? html`<${Badge}>stopped<//>` : since(w.lease_until) < 0 ? html`<${Badge} tone="good">alive<//>` : html`<${Badge} tone="bad">lost<//>`}</td><td class="num">${w.running} of ${w.concurrency}</td><td class="num quiet">${ago(since(w.heartbeat_at))}</td><td class="num quiet">${when(w.started_at)}</td></tr>`)}</tbody></table></div>`}<//></div>`;
}
