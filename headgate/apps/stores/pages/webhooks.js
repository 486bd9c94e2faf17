// The log of webhooks: what came, how often, how soon it was applied, what became of it; and privacy requests.
import { html, useState } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Badge, Empty, Failure, Segmented } from "../../static/ui.js";
import { Bones, act } from "../../static/widgets.js";
import { ago, count, when } from "../../static/format.js";
import { Listing } from "./listing.js";
import { ShopPage, api, since } from "./brand.js";

const TONES = { applied: "good", received: "run", stale: "", ignored: "", failed: "bad", done: "good" };
const VIEWS = [["log", "Log"], ["privacy", "Privacy requests"]];

export default function Webhooks({ who }) {
  return html`<${ShopPage} who=${who} title="Webhooks" about="what Shopify told, the newest first">${(shop) => html`<${Shop} key=${shop.id} shop=${shop} />`}<//>`;
}

function Shop({ shop }) {
  const [seen, see] = useState("log");
  const [state, setState] = useState("");
  const repair = () => act(() => api(`/api/stores/connections/${shop.id}/webhooks`), "The subscriptions will be looked at in a moment.");
  const switcher = html`<div class="row spread" style=${{ marginBottom: "16px" }}><${Segmented} label="View" options=${VIEWS} value=${seen} onChange=${see} /><button class="button" type="button" onClick=${repair}>Repair subscriptions</button></div>`;
  if (seen === "privacy") return html`${switcher}<${Privacy} shop=${shop} />`;
  const states = html`<label class="field">State<select class="input" value=${state} onChange=${(e) => setState(e.target.value)}><option value="">Any</option>${["received", "applied", "stale", "ignored", "failed"].map((s) => html`<option key=${s}>${s}</option>`)}</select></label>`;
  return html`${switcher}<${Listing} name=${`webhooks ${shop.id} ${state}`} label="Webhooks" search="Topic" extra=${states} empty=${state ? ["None in this state", "Choose another above."] : ["No webhook has come yet", "Shopify sends one at each change, once the subscriptions are made. Is HEADGATE_STORES_PUBLIC_URL reachable from outside?"]}
    heads=${[["Topic"], ["State"], ["Deliveries", "num wide-only"], ["Applied after", "num"], ["Came", "num"]]}
    question=${(from, to, text) => {
      let asked = client.from("shop_webhooks").select("*", { count: "estimated" }).contains("connection_ids", [shop.id]);
      if (text) asked = asked.ilike("topic", `%${text.replace(/[\\%_]/g, "\\$&")}%`);
      if (state) asked = asked.eq("state", state);
      return ask(asked.order("id", { ascending: false }).range(from, to));
    }}
    row=${(w) => html`<tr key=${w.id}><td><strong>${w.topic}</strong>${w.note && html`<span class="sub">${w.note}</span>`}</td><td><${Badge} tone=${TONES[w.state]}>${w.state}<//></td><td class="num wide-only">${count(w.deliveries)}</td><td class="num">${w.applied_at ? `${((Date.parse(w.applied_at) - Date.parse(w.received_at)) / 1000).toFixed(2)} s` : "–"}</td><td class="num quiet" title=${when(w.received_at, shop.time_zone)}>${ago(since(w.received_at))}</td></tr>`} />`;
}

function Privacy({ shop }) {
  const read = useAsk(`privacy ${shop.id}`, () => ask(client.from("shop_privacy_requests").select("*").eq("connection_id", shop.id).order("id", { ascending: false }).limit(100)), { every: 15000 });
  if (!read.data) return html`<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${5} />`}</div>`;
  if (!read.data.length) return html`<div class="card"><${Empty} icon="lock" title="No privacy request">Requests of customers come from Shopify, are carried out by themselves, and are listed here with what was done.<//></div>`;
  const save = (request) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(request.collected, null, 2)], { type: "application/json" }));
    link.download = `customer-${request.customer_id}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  return html`<div class="card flush"><div class="scroll" tabindex="0" role="region" aria-label="Privacy requests"><table><thead><tr><th scope="col">Request</th><th scope="col">State</th><th scope="col" class="wide-only">What was done</th><th class="num" scope="col">Came</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead><tbody>${read.data.map((r) => html`<tr key=${r.id}><td><strong>${r.topic}</strong><span class="sub">${r.customer_id ? `customer ${r.customer_id}` : "the whole shop"}</span></td><td><${Badge} tone=${TONES[r.state]}>${r.state}<//></td>
    <td class="wide-only quiet small">${r.error || Object.entries(r.counts).filter(([, n]) => n).map(([name, n]) => `${name.replace(/^shop_/, "").replaceAll("_", " ")}: ${count(n)}`).join(" · ") || "nothing was kept"}</td><td class="num quiet" title=${when(r.received_at, shop.time_zone)}>${ago(since(r.received_at))}</td><td class="num">${r.collected && html`<button class="button small" type="button" onClick=${() => save(r)}>Save the data</button>`}</td></tr>`)}</tbody></table></div></div>`;
}
