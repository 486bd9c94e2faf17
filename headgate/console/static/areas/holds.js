// What a check held back in a run: the first rows of it, and what a person decides about it.
import { html, useState } from "../names.js";
import { ask, rpc, useAsk, view } from "../client.js";
import { Badge, Failure } from "../ui.js";
import { Bones, Confirm, toast } from "../widgets.js";
import { count, when } from "../format.js";

const MOST = 50;
const WAITING = ["scheduled", "ready", "running"];
const TONES = { waiting: "warn", released: "good", discarded: "" };
const ASKED = {
  release: { title: "Release the held batch?", word: "Release it", text: "A worker writes its rows to the tables, as if the check had passed. A run of the same source and key that is under way is superseded." },
  discard: { title: "Discard the held batch?", word: "Discard it", text: "Its rows are deleted and never written. This cannot be taken back; the next run of the source brings what the source then has." },
};

/** The held batches of a run. What visitors may not read does not appear. */
export function Held({ run }) {
  const [asked, setAsked] = useState(null);
  const read = useAsk(`holds ${run}`, async () => {
    const holds = await ask(view("holds").select("*").eq("run_id", run).order("id"));
    const rows = holds.length ? await ask(view("held_rows").select("hold_id,line,doc").in("hold_id", holds.map((h) => h.id)).order("line").limit(MOST)) : [];
    return holds.map((hold) => ({ ...hold, docs: rows.filter((row) => row.hold_id === hold.id) }));
  }, { every: 2000 });
  if (!read.data) return html`<section class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${4} />`}</section>`;
  const decide = async () => {
    toast({ releasing: "A worker releases the batch", released: "The batch is released", discarded: "The batch is discarded" }[await rpc("act_on_hold", { hold: asked.hold, action: asked.action })]);
    read.reload();
  };
  return html`${read.data.map((hold) => html`<${Batch} key=${hold.id} hold=${hold} choose=${(action) => setAsked({ hold: hold.id, action })} />`)}
    ${asked && html`<${Confirm} title=${ASKED[asked.action].title} sure=${ASKED[asked.action].word} onSure=${decide} onClose=${() => setAsked(null)}><p>${ASKED[asked.action].text}</p><//>`}`;
}

function Batch({ hold: h, choose }) {
  const releasing = h.state === "waiting" && WAITING.includes(h.release_state);
  return html`<section class="card"><div class="card-head"><div><h2>Held batch</h2><p>${count(h.rows)} ${h.rows === 1 ? "row" : "rows"}, held by the check <strong>${h.check_name}</strong> on ${when(h.created_at)}.</p></div><${Badge} tone=${releasing ? "run" : TONES[h.state]}>${releasing ? "releasing" : h.state}<//></div>
    ${h.state === "waiting" ? html`<p class="small quiet">The batch waits until an administrator releases or discards it; what the run brought before it is in the tables.</p>` : html`<p class="small quiet">Decided by ${h.decided_by || "the engine"} on ${when(h.decided_at)}.</p>`}
    ${h.state === "waiting" && h.release_error && html`<div class="note bad" role="alert"><span>The last release failed: ${h.release_error}${h.release_error_code ? html` <code class="tiny">${h.release_error_code}</code>` : ""}</span></div>`}
    ${h.docs.length > 0 && html`<div class="fixed" style=${{ maxHeight: "320px" }} tabindex="0" role="region" aria-label="Rows of the held batch">${h.docs.map((row) => html`<div class="line" key=${row.line}><strong>line ${count(row.line)}</strong><span class="sub" style=${{ fontFamily: "var(--mono)", overflowWrap: "anywhere" }}>${JSON.stringify(row.doc).slice(0, 300)}</span></div>`)}</div>${h.rows > h.docs.length && html`<p class="small quiet">The first ${count(h.docs.length)} of ${count(h.rows)} rows.</p>`}`}
    ${h.state === "waiting" && html`<div class="row" style=${{ marginTop: "12px", justifyContent: "flex-end" }}><button class="button" type="button" disabled=${releasing} onClick=${() => choose("discard")}>Discard</button><button class="button main" type="button" disabled=${releasing} onClick=${() => choose("release")}>Release</button></div>`}</section>`;
}
