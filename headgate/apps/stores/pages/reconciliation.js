// Whether everything is here and adds up: the last comparisons with Shopify, and each order that does not tie, by name.
import { html, useEffect, useState } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Badge, Empty, Failure, Stale, Stat } from "../../static/ui.js";
import { Bones, act } from "../../static/widgets.js";
import { ago, count, share, when } from "../../static/format.js";
import { TO_SYNC } from "./listing.js";
import { ShopPage, api, price, since } from "./brand.js";

export default function Reconciliation({ who }) {
  return html`<${ShopPage} who=${who} title="Reconciliation" about="the ledger against Shopify's own totals">${(shop, may) => html`<${Shop} key=${shop.id} shop=${shop} may=${may && shop.state !== "disconnected" && shop.state !== "uninstalled"} />`}<//>`;
}

/** A finding as a sentence, whatever of it there is. */
function said(finding) {
  if (typeof finding === "string") return finding;
  if (finding.what && finding.why) return `${finding.what[0].toUpperCase()}${finding.what.slice(1)}: ${finding.why}`;
  return finding.message || finding.what || Object.entries(finding).map(([name, value]) => `${name.replaceAll("_", " ")}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

async function question(shop) {
  const runs = await ask(client.from("shop_reconciliations").select("*").eq("connection_id", shop.id).order("id", { ascending: false }).limit(30));
  const untied = runs.length && runs[0].orders > runs[0].tied ? await ask(client.from("shop_untied_orders").select("*", { count: "exact" }).eq("reconciliation_id", runs[0].id).order("order_id").limit(200)) : [];
  return { runs, untied };
}

function Shop({ shop, may }) {
  // Between the wish and the result, the page looks more often.
  const [wished, wish] = useState(null);
  const read = useAsk(`reconciliation ${shop.id}`, () => question(shop), { every: wished === null ? 15000 : 2000 });
  const newest = read.data && read.data.runs.length ? read.data.runs[0].id : 0;
  const waiting = wished !== null && newest <= wished;
  useEffect(() => { if (wished !== null && !waiting) wish(null); }, [wished, waiting]);
  const compare = () => act(async () => { await api(`/api/stores/connections/${shop.id}/reconcile`); wish(newest); }, "A comparison will begin in a moment.");
  const again = may && html`<button class="button" type="button" disabled=${waiting || !read.data} onClick=${compare}>${waiting ? "Comparing" : "Compare now"}</button>`;
  const bar = html`<div class="row spread" style=${{ marginBottom: "16px" }}><span class="quiet small">Every order's ledger is added up and held against Shopify's current total, to the cent.</span>${again}</div>`;
  if (!read.data) return html`${bar}<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`}</div>`;
  if (!read.data.runs.length) return html`${bar}<div class="card"><${Empty} icon="page" title="Not compared yet" action=${TO_SYNC}>The first comparison follows the first full sync by itself.<//></div>`;
  return html`${bar}<${Stale} error=${read.error} retry=${read.reload} /><${Result} ...${read.data} shop=${shop} />`;
}

function Result({ runs, untied, shop }) {
  const last = runs[0];
  const tied = last.state === "tied";
  const open = last.orders - last.tied;
  return html`<div class="stack"><dl class="stats"><${Stat} label="Last comparison" value=${tied ? "Tied" : "Open"} note=${ago(since(last.at))} tone=${tied ? "down" : "up"} /><${Stat} label="Orders compared" value=${count(last.orders)} />
      <${Stat} label="Tie to the cent" value=${count(last.tied)} note=${last.orders ? share(last.tied / last.orders, 2) : ""} /><${Stat} label="Do not tie" value=${count(open)} tone=${open ? "up" : ""} /></dl>
    ${last.findings.length > 0 && html`<section class="card"><div class="card-head"><div><h2>What is missing</h2><p>Found when what is here was counted against what Shopify says it has.</p></div></div>${last.findings.map((finding, i) => html`<div class="line" key=${i}>${said(finding)}</div>`)}</section>`}
    <${Untied} untied=${untied} open=${open} tied=${tied} />
    <section class="card flush"><div class="card-head"><h2>Comparisons</h2></div><div class="scroll" tabindex="0" role="region" aria-label="Comparisons"><table><thead><tr><th scope="col">When</th><th scope="col">Result</th><th class="num" scope="col">Tied</th></tr></thead><tbody>
      ${runs.map((r) => html`<tr key=${r.id}><td>${when(r.at, shop.time_zone)}</td><td><${Badge} tone=${r.state === "tied" ? "good" : "warn"}>${r.state}<//></td><td class="num">${count(r.tied)} <span class="quiet">of ${count(r.orders)}</span></td></tr>`)}</tbody></table></div></section></div>`;
}

function Untied({ untied, open, tied }) {
  if (!untied.length) return tied && html`<div class="note good" role="note" style=${{ margin: 0 }}><span>Every order ties: its ledger adds up to Shopify's total.</span></div>`;
  return html`<section class="card flush"><div class="card-head"><div><h2>Orders that do not tie</h2><p>${open > untied.length ? `The first ${count(untied.length)} of ${count(open)}. ` : ""}They were read again before they came here. Open one to see its ledger.</p></div></div><div class="scroll" tabindex="0" role="region" aria-label="Orders that do not tie"><table><thead><tr><th scope="col">Order</th><th class="num wide-only" scope="col">Shopify</th><th class="num wide-only" scope="col">Ledger</th><th class="num" scope="col">Difference</th></tr></thead><tbody>
    ${untied.map((o) => html`<tr key=${o.order_id}><td><a class="name" href=${`#/stores/orders/${o.order_id}`}>${o.name || o.order_id}</a><span class="sub phone-only">Shopify ${price(o.current_total_price, o.currency)}, ledger ${price(o.ledger, o.currency)}</span></td><td class="num wide-only">${price(o.current_total_price, o.currency)}</td><td class="num wide-only">${price(o.ledger, o.currency)}</td><td class="num"><strong>${price(o.difference, o.currency)}</strong></td></tr>`)}</tbody></table></div></section>`;
}
