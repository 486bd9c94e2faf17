// The first page: for administrators what is fresh, running and wrong; for everybody else what there is to see here.
import { html, useEffect, useMemo, useRef, useState } from "../names.js";
import { client, rpc, useAsk } from "../client.js";
import { Badge, Empty, Failure, Stale, Stat } from "../ui.js";
import { TimeChart } from "../charts.js";
import { Bones, Progress, pace } from "../widgets.js";
import { ago, count, duration, when } from "../format.js";
import { every, moved, TONES, useRuns } from "../live.js";

export default function Overview({ who, manifest }) {
  return who.admin ? html`<${Desk} />` : html`<${Welcome} who=${who} manifest=${manifest} />`;
}

/** What answers, asked of the parts themselves. */
const PARTS = [["Tables", "/rest/v1/", "OPTIONS"], ["Sign-in", "/auth/v1/health"], ["Storage", "/storage/v1/status"]];

function useHealth() {
  const [value, set] = useState({});
  useEffect(() => {
    let stopped = false;
    const look = async () => {
      const found = {};
      await Promise.all(PARTS.map(async ([name, path, method]) => {
        try { found[name] = (await fetch(path, { method, headers: client.supabaseKey === "none" ? {} : { apikey: client.supabaseKey } })).ok ? "good" : "bad"; } catch { found[name] = "bad"; }
      }));
      if (!stopped) set(found);
    };
    look();
    const id = setInterval(() => document.hidden || look(), 10000);
    return () => { stopped = true; clearInterval(id); };
  }, []);
  return value;
}

/** The parts in fixed places, so that answers that come one by one move nothing. */
function Health({ extra = [] }) {
  const found = useHealth();
  const words = { good: "answers", bad: "does not answer" };
  const parts = [...PARTS.map(([name]) => [name, found[name] || "", words[found[name]] || "asking"]), ...extra];
  return html`<div class="health" aria-label="Health" role="group">${parts.map(([name, tone, text]) => html`<span class=${`dot ${tone}`} key=${name}><i></i>${name} <span class="quiet">${text}</span></span>`)}</div>`;
}

function Welcome({ who, manifest }) {
  return html`<div class="head"><div><h1>Headgate</h1><p>${who.user ? `Signed in as ${who.user.email || "an anonymous user"}.` : "Live data, collected and kept fresh. Some of it is open to everybody; the rest follows your account."}</p></div>
      ${!who.user && html`<a class="button main" href="#/sign-in">Sign in</a>`}</div>
    <div class="card" style=${{ marginBottom: "16px" }}><${Health} /></div>
    ${manifest.apps.length === 0 ? html`<div class="card"><${Empty} icon="table" title="No application has pages">Install one, or name it in <code>HEADGATE_APPS</code>.<//></div>`
    : html`<div class="cards">${manifest.apps.map((app) => html`<section class="card tilecard" key=${app.name}><h2>${app.title}</h2>
      <ul>${app.pages.map((p) => html`<li key=${p.name}><a class="name" href=${`#/${app.name}/${p.name}`} style=${{ display: "block", padding: "5px 0" }}>${p.title}</a></li>`)}</ul></section>`)}
      <section class="card tilecard"><h2>Tables</h2><p>Whatever row-level security lets you read, with filters and sorting.</p><p><a class="button" href="#/tables">Open the tables</a></p></section></div>`}`;
}

function Desk() {
  const again = useRef(() => {});
  const live = useRuns(() => again.current());
  const read = useAsk("overview", () => rpc("overview"), { every: every(live.live) });
  again.current = read.reload;
  const head = html`<div class="head"><div><h1>Overview</h1><p>What is fresh, what runs and what needs you.</p></div></div>`;
  if (!read.data && read.error) return html`${head}<div class="card"><${Failure} error=${read.error} retry=${read.reload} /></div>`;
  if (!read.data) return html`${head}<div class="card"><${Bones} rows=${14} /></div>`;
  const d = read.data;
  const alive = d.workers.filter((w) => w.alive);
  const waiting = (d.jobs.ready || 0);
  const running = moved(d.running, live.rows, true);
  const going = running.filter((r) => !r.state || r.state === "running").length;
  return html`${head}<${Stale} error=${read.error} retry=${read.reload} />
    <div class="stack"><dl class="stats">
      <${Stat} label="Running" value=${count(d.jobs.running || 0)} note=${going === 1 ? "1 run in progress" : `${count(going)} runs in progress`} />
      <${Stat} label="Waiting" value=${count(waiting)} note=${`${count(d.jobs.scheduled || 0)} scheduled`} />
      <${Stat} label="Done, last hour" value=${count(d.jobs.done_1h || 0)} note="jobs" />
      <${Stat} label="Failed" tone=${d.jobs.failed ? "up" : ""} value=${count(d.jobs.failed || 0)} note=${d.jobs.failed ? html`<a class="name" href="#/jobs?state=failed">look at them</a>` : "none kept"} />
      <${Stat} label="Workers" tone=${alive.length ? "" : "up"} value=${count(alive.length)} note=${alive.length ? `${count(alive.reduce((n, w) => n + w.concurrency, 0))} at a time` : "start: headgate work"} />
      <${Stat} label="Database" value=${size(d.database.bytes)} note=${`PostgreSQL ${d.database.version.split(" ")[0]}`} />
    </dl>
    <div class="card"><${Health} extra=${[["Database", "good", `${count(d.database.connections)} of ${count(d.database.max_connections)} connections`], ["Workers", alive.length ? "good" : "bad", alive.length ? "alive" : "none"]]} /></div>
    <div class="cols even"><section class="card"><div class="card-head"><div><h2>Rows collected</h2><p>Seen by finished runs, by hour, the last 24.</p></div></div><${Hours} hours=${d.hours} /></section>
      <section class="card"><div class="card-head"><h2>Needs attention</h2></div><div class="fixed" style=${{ height: "252px" }} tabindex="0" role="region" aria-label="Problems">${d.problems.length ? html`<ul>${d.problems.map((p) => html`<li class="line" key=${p.what + p.id + p.subject}><${Problem} problem=${p} /></li>`)}</ul>` : html`<p class="quiet small">Nothing. Failed jobs, findings of checks, held batches and stopped hosts appear here.</p>`}</div></section></div>
    <section class="card"><div class="card-head"><h2>In progress</h2><a class="button plain" href="#/runs">All runs</a></div><div class="fixed" style=${{ height: "264px" }} tabindex="0" role="region" aria-label="Runs in progress">
      ${running.length ? html`<ul>${running.map((r) => html`<${Going} key=${r.id} run=${r} />`)}</ul>` : html`<p class="quiet small">No run is going on at this moment. The timetable is under <a class="name" href="#/jobs">Jobs</a>.</p>`}</div></section>
    <section class="card flush"><div class="card-head"><div><h2>Freshness by source</h2><p>When a source last moved on, and its last 24 hours.</p></div></div><${Sources} sources=${d.sources} /></section></div>`;
}

/** A run in progress, or one that has just ended. */
function Going({ run: r }) {
  const over = r.state && r.state !== "running";
  return html`<li class="line"><div class="row spread"><a class="name" href=${`#/runs/${r.id}`}>${r.source}${r.key ? ` · ${r.key}` : ""}</a><span class="quiet small">${over ? html`${count(r.seen)} rows seen <${Badge} tone=${TONES[r.state]}>${r.state}<//>` : pace(r)}</span></div>
    <div style=${{ marginTop: "6px" }}><${Progress} seen=${over ? 1 : r.seen} expected=${over ? 1 : r.expected} tone=${over ? TONES[r.state] || "" : ""} label=${`Progress of run ${r.id}`} /></div></li>`;
}

export function size(bytes) {
  if (bytes == null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let left = Number(bytes);
  while (left >= 1000 && at < units.length - 1) { left /= 1000; at += 1; }
  return `${left < 10 && at ? left.toFixed(1) : Math.round(left)} ${units[at]}`;
}

function Problem({ problem: p }) {
  const link = { job: `#/jobs/${p.id}`, check: `#/runs/${p.id}`, hold: `#/runs/${p.id}`, host: "#/jobs" }[p.what];
  return html`<a class="name" href=${link}>${p.subject}</a> <${Badge} tone=${p.what === "job" ? "bad" : "warn"}>${p.what}<//><span class="sub">${p.message} · ${ago((Date.now() - Date.parse(p.at)) / 1000)}</span>`;
}

function Hours({ hours }) {
  const shape = hours.map((h) => `${h.at}${h.rows}`).join();
  const drawn = useMemo(() => ({ times: hours.map((h) => Date.parse(h.at) / 1000), lines: [{ label: "Rows", color: "--price", kind: "bars", align: 1, values: hours.map((h) => Number(h.rows)) }] }), [shape]);
  if (!hours.some((h) => h.rows > 0)) return html`<p class="quiet small" style=${{ minHeight: "252px" }}>No run finished in the last 24 hours.</p>`;
  return html`<${TimeChart} times=${drawn.times} lines=${drawn.lines} height=${252} zero format=${(v) => (v >= 1e6 ? `${count(v / 1e6, 1)} M` : v >= 10000 ? `${count(v / 1000)} k` : count(v))} title=${(t) => when(new Date(t * 1000).toISOString(), null, "hour")} label="Rows collected by hour" />`;
}

function Sources({ sources }) {
  if (!sources.length) return html`<${Empty} icon="runs" title="No source has run yet">Start the simulated marketplace with <code>headgate up --demo</code>, or one source with <code>headgate run SOURCE</code>.<//>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Sources"><table><thead><tr><th scope="col">Source</th><th scope="col">Moved on</th><th class="num" scope="col">Keys</th><th class="num" scope="col">Runs, 24 h</th><th class="num" scope="col">Failed</th><th class="num" scope="col">Rows</th><th class="num" scope="col">Rejected</th></tr></thead>
    <tbody>${sources.map((s) => html`<tr key=${s.source}><td><a class="name" href=${`#/runs?source=${encodeURIComponent(s.source)}`}>${s.source}</a><span class="sub">${s.app}</span></td><td class="nowrap">${ago((Date.now() - Date.parse(s.updated_at)) / 1000)}</td><td class="num">${count(s.keys)}</td>
      <td class="num">${count(s.runs_24h || 0)}</td><td class="num">${s.failed_24h ? html`<${Badge} tone="bad">${count(s.failed_24h)}<//>` : "0"}</td><td class="num">${count(s.rows_24h || 0)}</td><td class="num">${s.rejected_24h ? html`<${Badge} tone="warn">${count(s.rejected_24h)}<//>` : "0"}</td></tr>`)}</tbody></table></div>`;
}
