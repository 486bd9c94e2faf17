// Rules of this visitor and what they fired. Creating a rule is one sentence to fill in.
import { html, useState } from "../../static/names.js";
import { call, useRead } from "../../static/api.js";
import { Badge, Empty, Loaded } from "../../static/ui.js";
import { ago, count, money } from "../../static/format.js";

const KINDS = {
  price_below: ["Price falls below", "price"], price_drop_pct: ["Price drops in 24 h by", "percent"], inventory_below: ["Tickets fall below", "tickets"],
  new_listing: ["A new listing appears", null], back_in_stock: ["Tickets are back in stock", null],
};

function words(rule) {
  const [text, unit] = KINDS[rule.kind] || [rule.kind, null];
  const value = unit === "price" ? money(rule.threshold, "USD") : unit === "percent" ? `${count(rule.threshold, 1)} %` : unit ? count(rule.threshold) : "";
  const who = rule.group_size === 2 ? " for a pair" : rule.group_size === 4 ? " for four" : "";
  return `${text} ${value}${who}`.trim();
}

export default function Alerts({ base }) {
  const rules = useRead("/api/alerts", {}, { event: "any", quiet: 4000, user: true });
  const fires = useRead("/api/alerts/fires", { limit: 50 }, { event: "any", quiet: 4000, user: true });
  return html`<div class="head"><div><h1>Alerts</h1><p>A rule fires once when it is met, and arms again when it no longer is. Rules belong to this browser.</p></div></div>
    <div class="cols"><div class="stack"><${Create} onDone=${rules.reload} />
      <div class="card flush"><div class="card-head"><h2>Your rules</h2></div><${Loaded} read=${rules} height=${160} empty=${html`<${Empty} icon="bell" title="No rules yet">Fill in the sentence above; the first is usually a price you would buy at.<//>`}>
        ${(rows) => html`<div class="scroll"><table><tbody>${rows.map((r) => html`<${Rule} key=${r.id} rule=${r} base=${base} onDone=${rules.reload} />`)}</tbody></table></div>`}<//></div></div>
    <div class="card"><div class="card-head"><h2>Fired</h2></div><${Loaded} read=${fires} height=${200} empty=${html`<p class="quiet small">Nothing has fired yet. What fires appears here by itself.</p>`}>
      ${(rows) => html`<ul aria-live="polite">${rows.map((f) => html`<li key=${f.id} class="line"><a class="name" href=${`${base}/events/${f.event_id}`}>${f.event_name}</a><span class="sub">${f.message} · ${ago((Date.now() - Date.parse(f.fired_at)) / 1000)}</span></li>`)}</ul>`}<//></div></div>`;
}

function Rule({ rule, base, onDone }) {
  const [error, setError] = useState(null);
  const run = async (method, body) => {
    try { await call(`/api/alerts/${rule.id}`, { method, body, user: true }); onDone(); } catch (failed) { setError(failed); }
  };
  return html`<tr><td><a class="name" href=${`${base}/events/${rule.event_id}`}>${rule.event_name}</a><span class="sub">${words(rule)}${rule.zone ? ` in ${rule.zone}` : ""}</span>${error && html`<span class="sub up" role="alert">${error.message}</span>`}</td>
    <td class="num">${!rule.active ? html`<${Badge}>off<//>` : rule.armed ? html`<${Badge} tone="good">armed<//>` : html`<${Badge} tone="warn">fired<//>`}</td>
    <td class="num"><button class="button plain" onClick=${() => run("PATCH", { active: !rule.active })}>${rule.active ? "Switch off" : "Switch on"}</button><button class="button plain" onClick=${() => run("DELETE")} aria-label=${`Delete the rule for ${rule.event_name}`}>Delete</button></td></tr>`;
}

function Create({ onDone }) {
  const events = useRead("/api/events", { active: true, limit: 100, order: "name.asc" });
  const [form, setForm] = useState({ event_id: "", kind: "price_below", threshold: "", zone: "", group_size: "1" });
  const [state, setState] = useState({ busy: false, error: null });
  const zones = useRead(form.event_id ? `/api/events/${form.event_id}/zones` : null, {});
  const set = (field) => (e) => setForm({ ...form, [field]: e.target.value });
  const unit = KINDS[form.kind][1];
  const submit = async (e) => {
    e.preventDefault();
    setState({ busy: true, error: null });
    try {
      await call("/api/alerts", { method: "POST", user: true, body: {
        event_id: Number(form.event_id), kind: form.kind, threshold: unit ? Number(form.threshold) : null, zone: form.zone || null, group_size: Number(form.group_size),
      } });
      setForm({ ...form, threshold: "" });
      setState({ busy: false, error: null });
      onDone();
    } catch (error) { setState({ busy: false, error }); }
  };
  return html`<form class="card" onSubmit=${submit}><div class="card-head"><h2>New rule</h2></div><div class="filters" style=${{ marginBottom: 0 }}>
    <label class="field wide" style=${{ flexBasis: "100%", maxWidth: "none" }}>Event<select class="input" required value=${form.event_id} onChange=${set("event_id")}><option value="">Choose an event</option>${(events.data || []).map((e) => html`<option key=${e.id} value=${e.id}>${e.name}</option>`)}</select></label>
    <label class="field" style=${{ flex: "1 1 190px" }}>Tell me when<select class="input" value=${form.kind} onChange=${set("kind")}>${Object.entries(KINDS).map(([id, [text]]) => html`<option key=${id} value=${id}>${text}</option>`)}</select></label>
    ${unit && html`<label class="field">${unit === "price" ? "Price" : unit === "percent" ? "Percent" : "Tickets"}<input class="input" type="number" required min="0.01" step="any" inputmode="decimal" value=${form.threshold} onInput=${set("threshold")} /></label>`}
    <label class="field">Zone<select class="input" value=${form.zone} onChange=${set("zone")}><option value="">Whole event</option>${((form.event_id && zones.data) || []).map((z) => html`<option key=${z.zone} value=${z.zone}>${z.zone}</option>`)}</select></label>
    <label class="field">Seats together<select class="input" value=${form.group_size} onChange=${set("group_size")}><option value="1">Any</option><option value="2">Pair</option><option value="4">Four</option></select></label>
    <button class="button main" disabled=${state.busy || !form.event_id}>Create the rule</button></div>
    ${state.error && html`<p class="up small" role="alert" style=${{ marginTop: "10px" }}>${state.error.message}</p>`}</form>`;
}
