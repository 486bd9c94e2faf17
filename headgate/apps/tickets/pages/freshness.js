// How old every event's data is, against what was promised; the oldest first, with what went wrong.
import { html, useState } from "../../static/names.js";
import { useRead } from "../../static/api.js";
import { Age, Badge, Empty, Loaded, Segmented, Stat } from "../../static/ui.js";
import { count, duration, share, until } from "../../static/format.js";

const VIEWS = [["", "All"], ["false", "Late only"]];

export default function Freshness({ base }) {
  const [late, setLate] = useState("");
  const read = useRead("/api/freshness", { limit: 100, order: "age_s.desc", within_eq: late || null }, { event: "any", quiet: 4000, every: 15000 });
  const all = read.meta && read.meta.summary;
  return html`<div class="head"><div><h1>Freshness</h1><p>An event keeps its promise while its newest accepted poll is younger than promised.</p></div><${Segmented} label="Events shown" options=${VIEWS} value=${late} onChange=${setLate} /></div>
    <dl class="stats" style=${{ marginBottom: "16px" }}>
      <${Stat} label="Within promise now" value=${all ? `${count(all.within)} of ${count(all.events)}` : "–"} note=${all && all.events ? share(all.within / all.events, 1) : ""} />
      <${Stat} label="Service level, 24 h" value=${all ? share(all.service_24h, 2) : "–"} note="of event-minutes" />
      <${Stat} label="Age, half below" value=${all ? duration(all.age_p50_s) : "–"} note=${all ? `95 % ${duration(all.age_p95_s)}, 99 % ${duration(all.age_p99_s)}` : ""} />
      <${Stat} label="Oldest" value=${all ? duration(all.age_max_s) : "–"} note="of all active events" />
      <${Stat} label="Starved" value=${all ? count(all.starved) : "–"} note="older than three promises" tone=${all && all.starved ? "up" : ""} />
      <${Stat} label="Polls, 24 h" value=${all ? count(all.polls_24h) : "–"} note=${all ? `${count(all.failed_24h)} failed or rejected` : ""} />
    </dl>
    <div class="card flush"><${Loaded} read=${read} height=${520} empty=${late ? html`<${Empty} title="Every event keeps its promise">Nothing is late right now.<//>` : html`<${Empty} title="No events are watched yet">Start with the simulated marketplace: <code>headgate up --demo</code>.<//>`}>
      ${(rows) => html`<div class="scroll"><table><caption class="hidden">Events by age of their data</caption><thead><tr><th scope="col">Event</th><th scope="col">Age against promise</th><th class="num wide-only" scope="col">Promise</th><th class="num" scope="col">Kept, 24 h</th><th class="num wide-only" scope="col">Polls</th><th class="num wide-only" scope="col">Failed</th><th class="wide-only" scope="col">Last failure</th><th class="num wide-only" scope="col">Next poll</th></tr></thead>
        <tbody>${rows.map((r) => html`<tr key=${r.event_id}><td><a class="name" href=${`${base}/events/${r.event_id}`}>${r.name}</a><span class="sub">${until(r.starts_at)}</span></td>
          <td style=${{ minWidth: "150px", width: "26%" }}><${Age} asOf=${r.as_of} promise=${r.promise_s} /></td><td class="num wide-only">${duration(r.promise_s)}</td><td class="num">${r.service_24h == null ? html`<${Badge}>new<//>` : share(r.service_24h, 1)}</td>
          <td class="num wide-only">${count(r.polls_24h)}</td><td class="num wide-only">${r.failed_24h ? html`<${Badge} tone="warn">${count(r.failed_24h)}<//>` : "0"}</td><td class="wide-only quiet small">${r.last_failure || "–"}</td><td class="num wide-only quiet">${r.next_due ? until(r.next_due) : "–"}</td></tr>`)}</tbody></table></div>`}<//></div>`;
}
