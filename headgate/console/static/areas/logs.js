// What is kept in the database of what happened: administrators' deeds, findings of checks, drift, failed jobs.
import { html, useEffect, useState } from "../names.js";
import { ask, client, useAsk, view } from "../client.js";
import { Badge, Empty, Failure, Stale } from "../ui.js";
import { Bones, Code, Dialog, Pager, Tabs } from "../widgets.js";
import { ago, when } from "../format.js";

const STEP = 40;
const KINDS = {
  audit: ["Audit", (r) => [r.action, r.subject, r.actor || "service_role"], "What administrators do appears here."],
  sign_ins: ["Sign-ins", (r) => [r.action, r.subject, r.address || ""], "Sign-ins, sign-ups and changes of accounts appear here."],
  findings: ["Findings", (r) => [`${r.check_name} (${r.action})`, r.message, r.source], "What data-quality checks find appears here."],
  drift: ["Drift", (r) => [`${r.kind} field`, `${r.path}${r.type ? `: ${r.type}` : ""}`, r.source], "Fields that an upstream adds, drops or changes appear here."],
  failures: ["Failed jobs", (r) => [r.kind, `${r.error_code || ""} ${r.error || ""}`, r.key || ""], "Jobs that used up their attempts appear here."],
};

function asked(kind) {
  if (kind === "sign_ins") return client.schema("console").rpc("sign_ins", {}, { get: true });
  if (kind === "failures") return view("jobs").select("id,kind,key,error_code,error,attempt,args,at:finished_at").eq("state", "failed");
  return view(kind).select("*");
}

export default function Logs({ rest }) {
  const kind = KINDS[rest[0]] ? rest[0] : "audit";
  const [page, setPage] = useState(0);
  const [open, setOpen] = useState(null);
  useEffect(() => setPage(0), [kind]);
  const read = useAsk(`${kind} ${page}`, () => ask(asked(kind).order(kind === "sign_ins" ? "at" : "id", { ascending: false }).range(page * STEP, page * STEP + STEP - 1)).then((rows) => ({ kind, rows })), { every: 5000 });
  const [, words, empty] = KINDS[kind];
  const mine = read.data && read.data.kind === kind ? read.data.rows : null;
  return html`<div class="head"><div><h1>Logs</h1><p>Kept in the database. The processes' own logs are in the data folder, under <code>logs</code>.</p></div>
      <${Tabs} label="Log" options=${Object.entries(KINDS).map(([id, [name]]) => [id, name])} value=${kind} onChange=${(id) => { location.hash = `#/logs/${id}`; }} /></div>
    <div class="card flush">${!mine ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${14} />`) : html`<${Stale} error=${read.error} retry=${read.reload} />
      ${!mine.length ? html`<${Empty} icon="logs" title="Nothing yet">${empty}<//>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Log"><table><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">About</th><th scope="col">Where</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead><tbody>${mine.map((r) => { const [what, about, from] = words(r); return html`<tr key=${r.id}><td class="nowrap quiet" title=${when(r.at)}>${r.at ? ago((Date.now() - Date.parse(r.at)) / 1000) : "–"}</td><td class="nowrap"><${Badge}>${what}<//></td><td style=${{ overflowWrap: "anywhere", minWidth: "220px" }}>${String(about).slice(0, 200)}</td><td class="quiet small" style=${{ overflowWrap: "anywhere" }}>${from}</td><td class="num"><button class="button plain small" type="button" aria-label=${`Open entry ${r.id}`} onClick=${() => setOpen(r)}>Open</button></td></tr>`; })}</tbody></table></div>`}
      <${Pager} page=${page} size=${STEP} shown=${mine.length} onPage=${setPage} />`}</div>
    ${open && html`<${Dialog} title="Entry" wide onClose=${() => setOpen(null)}><${Code} label="Entry" text=${JSON.stringify(open, null, 2)} /><//>`}`;
}
