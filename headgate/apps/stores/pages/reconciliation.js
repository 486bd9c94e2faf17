// Whether everything is here and adds up: the last comparisons with Shopify, and each order that does not tie, by name.
import { html } from "../../static/names.js";
import { ask, client, useAsk } from "../../static/client.js";
import { Badge, Empty, Failure, Stat } from "../../static/ui.js";
import { Bones } from "../../static/widgets.js";
import { ago, count, share, when } from "../../static/format.js";
import { TO_SYNC } from "./listing.js";
import { ShopPage, price, since } from "./brand.js";

export default function Reconciliation({ who }) {
  return html`<${ShopPage} who=${who} title="Reconciliation" about="the ledger against Shopify's own totals">${(shop) => html`<${Shop} key=${shop.id} shop=${shop} />`}<//>`;
}

/** A finding as a sentence, whatever of it there is. */
function said(finding) {
  if (typeof finding === "string") return finding;
  return finding.message || finding.what || Object.entries(finding).map(([name, value]) => `${name.replaceAll("_", " ")}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

function Shop({ shop }) {
  const read = useAsk(`reconciliation ${shop.id}`, async () => {
    const runs = await ask(client.from("shop_reconciliations").select("*").eq("connection_id", shop.id).order("id", { ascending: false }).limit(30));
    const untied = runs.length ? await ask(client.from("shop_untied_orders").select("*", { count: "exact" }).eq("reconciliation_id", runs[0].id).order("order_id").limit(200)) : [];
    return { runs, untied };
  }, { every: 15000 });
  if (!read.data) return html`<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`}</div>`;
  const { runs, untied } = read.data;
  if (!runs.length) return html`<div class="card"><${Empty} icon="page" title="Not compared yet" action=${TO_SYNC}>The first comparison follows the first full sync; by hand: <code>headgate stores reconcile</code>.<//></div>`;
  const last = runs[0];
  return html`<div class="stack"><dl class="stats"><${Stat} label="Last comparison" value=${last.state === "tied" ? "Everything ties" : "Something is open"} note=${ago(since(last.at))} tone=${last.state === "tied" ? "" : "up"} /><${Stat} label="Orders compared" value=${count(last.orders)} />
      <${Stat} label="Tie to the cent" value=${count(last.tied)} note=${last.orders ? share(last.tied / last.orders, 2) : ""} /><${Stat} label="Do not tie" value=${count(last.orders - last.tied)} tone=${last.orders > last.tied ? "up" : ""} /></dl>
    ${last.findings.length > 0 && html`<section class="card"><div class="card-head"><h2>Findings</h2></div>${last.findings.map((finding, i) => html`<div class="line" key=${i}>${said(finding)}</div>`)}</section>`}
    <section class="card flush"><div class="card-head"><div><h2>Orders that do not tie</h2><p>The ledger's sum against Shopify's current total.</p></div></div>${untied.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Orders that do not tie"><table><thead><tr><th scope="col">Order</th><th class="num" scope="col">Shopify</th><th class="num" scope="col">Ledger</th><th class="num" scope="col">Difference</th></tr></thead><tbody>${untied.map((o) => html`<tr key=${o.order_id}><td><a class="name" href=${`#/stores/orders/${o.order_id}`}>${o.name || o.order_id}</a></td><td class="num">${price(o.current_total_price, o.currency)}</td><td class="num">${price(o.ledger, o.currency)}</td><td class="num"><strong>${price(o.difference, o.currency)}</strong></td></tr>`)}</tbody></table></div>` : html`<${Empty} icon="page" title="Every order ties">The ledger adds up to Shopify's totals, order by order.<//>`}</section>
    <section class="card flush"><div class="card-head"><h2>Comparisons</h2></div><div class="scroll" tabindex="0" role="region" aria-label="Comparisons"><table><thead><tr><th scope="col">When</th><th scope="col">State</th><th class="num" scope="col">Orders</th><th class="num" scope="col">Tie</th></tr></thead><tbody>${runs.map((r) => html`<tr key=${r.id}><td>${when(r.at, shop.time_zone)}</td><td><${Badge} tone=${r.state === "tied" ? "good" : "warn"}>${r.state}<//></td><td class="num">${count(r.orders)}</td><td class="num">${count(r.tied)}</td></tr>`)}</tbody></table></div></section></div>`;
}
