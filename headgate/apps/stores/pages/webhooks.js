// The log of webhooks: what came, how often, how soon it was applied, what became of it; and privacy requests.
import { html } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Badge, Empty, Failure, Segmented, Stale } from "../../static/ui.js";
import { Bones, act } from "../../static/widgets.js";
import { ago, count, when } from "../../static/format.js";
import { Listing, useKept } from "./listing.js";
import { ShopPage, api, since } from "./brand.js";

const TONES = { applied: "good", received: "run", stale: "", ignored: "", failed: "bad", done: "good" };
const VIEWS = [["log", "Log"], ["privacy", "Privacy requests"]];
const STATES = { applied: "Applied", received: "Waiting", stale: "Older than what is here", ignored: "Ignored", failed: "Failed" };
const CHOICES = { state: ["State", [["", "Any"], ...Object.entries(STATES)]] };

export default function Webhooks({ who }) {
  return html`<${ShopPage} who=${who} title="Webhooks" about="what Shopify told, the newest first">${(shop, may) => html`<${Shop} key=${shop.id} shop=${shop} may=${may && (shop.state === "connected" || shop.state === "error")} />`}<//>`;
}

/** How the subscriptions stand, as the last look at them found. */
function Subscriptions({ shop }) {
  const seen = shop.webhooks;
  if (seen.error) return html`<span class="small"><${Badge} tone="bad">subscriptions failed<//> ${seen.error}</span>`;
  if (!seen.topics) return html`<span class="quiet small">Subscriptions were not looked at yet.</span>`;
  const refused = Object.entries(seen.refused || {});
  if (refused.length) return html`<span class="small"><${Badge} tone="warn">${count(refused.length)} of ${count(seen.topics)} topics refused<//> ${refused.map(([topic]) => topic).join(", ")}: ${refused[0][1]}</span>`;
  return html`<span class="quiet small">Subscribed to ${count(seen.topics)} topics; looked at ${ago(since(seen.checked_at))}, and every hour.</span>`;
}

function Shop({ shop, may }) {
  const [seen, see] = useKept(`webhooks view ${shop.id}`, "log");
  const repair = () => act(() => api(`/api/stores/connections/${shop.id}/webhooks`), "The subscriptions will be looked at in a moment.");
  const bar = html`<div class="row spread" style=${{ marginBottom: "16px" }}><${Segmented} label="View" options=${VIEWS} value=${seen} onChange=${see} /><span class="row"><${Subscriptions} shop=${shop} />${may && html`<button class="button" type="button" onClick=${repair}>Repair subscriptions</button>`}</span></div>`;
  if (seen === "privacy") return html`${bar}<${Privacy} shop=${shop} />`;
  return html`${bar}<${Listing} name=${`webhooks ${shop.id}`} label="Webhooks" search="Topic" placeholder="orders/updated" choices=${CHOICES} empty=${["No webhook has come yet", html`Shopify sends one at each change, once the subscriptions are made. If none comes, is the address in <code>HEADGATE_STORES_PUBLIC_URL</code> reachable from outside?`]}
    heads=${[["Topic"], ["State", "wide-only"], ["Deliveries", "num wide-only"], ["Applied after", "num wide-only"], ["Came", "num"]]}
    question=${(from, to, { words: text, state }) => {
      let asked = client.from("shop_webhooks").select("*", { count: "estimated" }).contains("connection_ids", [shop.id]);
      if (text) asked = asked.ilike("topic", `%${text.replace(/[\\%_]/g, "\\$&")}%`);
      if (state) asked = asked.eq("state", state);
      return ask(asked.order("id", { ascending: false }).range(from, to));
    }}
    row=${(w) => html`<${Row} key=${w.id} w=${w} shop=${shop} />`} />`;
}

function Row({ w, shop }) {
  const state = html`<${Badge} tone=${TONES[w.state]}>${(STATES[w.state] || w.state).toLowerCase()}<//>`;
  const took = w.applied_at ? Math.max(0, (Date.parse(w.applied_at) - Date.parse(w.received_at)) / 1000) : null;
  const taken = took === null ? "–" : took < 60 ? `${took.toFixed(took < 10 ? 2 : 0)} s` : `${count(took / 60)} min`;
  return html`<tr><td><strong>${w.topic}</strong>${w.note && html`<span class="sub">${w.note}</span>`}<span class="phone-only">${state}${took !== null && html`<span class="sub">applied after ${taken}</span>`}</span></td><td class="wide-only">${state}</td><td class="num wide-only">${count(w.deliveries)}</td><td class="num wide-only">${taken}</td><td class="num quiet" title=${when(w.received_at, shop.time_zone)}>${ago(since(w.received_at))}</td></tr>`;
}

function Privacy({ shop }) {
  const read = useAsk(`privacy ${shop.id}`, () => ask(client.from("shop_privacy_requests").select("*").eq("connection_id", shop.id).order("id", { ascending: false }).limit(100)), { every: 15000 });
  if (!read.data) return html`<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${5} />`}</div>`;
  if (!read.data.length) return html`<div class="card"><${Empty} icon="lock" title="No privacy request">When a customer asks a shop for their data or its erasure, Shopify tells it here. It is carried out by itself and listed with what was done.<//></div>`;
  return html`<${Stale} error=${read.error} retry=${read.reload} /><div class="card flush"><div class="scroll" tabindex="0" role="region" aria-label="Privacy requests"><table><thead><tr><th scope="col">Request</th><th scope="col" class="wide-only">State</th><th scope="col" class="wide-only">What was done</th><th class="num wide-only" scope="col">Came</th><th scope="col" class="num"><span class="hidden">Actions</span></th></tr></thead><tbody>
    ${read.data.map((r) => html`<${Request} key=${r.id} r=${r} shop=${shop} />`)}</tbody></table></div></div>`;
}

function Request({ r, shop }) {
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(r.collected, null, 2)], { type: "application/json" }));
    link.download = `customer-${r.customer_id}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const state = html`<${Badge} tone=${TONES[r.state]}>${r.state}<//>`;
  const done = r.error || Object.entries(r.counts).filter(([, n]) => n).map(([name, n]) => `${name.replace(/^shop_/, "").replaceAll("_", " ")}: ${count(n)}`).join(" · ") || "nothing was kept";
  return html`<tr><td><strong>${r.topic}</strong><span class="sub">${r.customer_id ? `customer ${r.customer_id}` : "the whole shop"}</span><span class="sub phone-only">${ago(since(r.received_at))} · ${done}</span><span class="phone-only">${state}</span></td><td class="wide-only">${state}</td>
    <td class="wide-only quiet small">${done}</td><td class="num quiet wide-only" title=${when(r.received_at, shop.time_zone)}>${ago(since(r.received_at))}</td><td class="num">${r.collected && html`<button class="button small" type="button" aria-label=${`Save the data of customer ${r.customer_id}`} onClick=${save}>Save</button>`}</td></tr>`;
}
