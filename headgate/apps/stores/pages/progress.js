// How the sync of each brand stands: the widget that any site may use, and what it is made of.
import { html, useEffect, useRef, useState } from "../../static/names.js";
import { client } from "../../static/client.js";
import { Badge, Failure, Stat } from "../../static/ui.js";
import { Bones, Code, Progress, act } from "../../static/widgets.js";
import { ago, count, duration } from "../../static/format.js";
import { NoShop, SignIn, since, useBrands } from "./brand.js";
import "./widget.js";

const TONES = { completed: "good", partial: "warn", error: "bad", syncing: "run", pending: "" };
const COVERAGE = { all: "All orders", "60_days": "60 days", none: "None" };

export default function SyncProgress({ who, manifest }) {
  const read = useBrands(who);
  const head = html`<div class="head"><div><h1>Sync</h1><p>Milestones of each brand, as they are reached.</p></div></div>`;
  if (!who.user) return html`${head}<${SignIn} />`;
  if (!read.data) return html`${head}<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`}</div>`;
  const live = read.data.shops.filter((shop) => shop.state === "connected" || shop.state === "error");
  const brands = read.data.brands.filter((brand) => live.some((shop) => shop.brand_id === brand.id));
  if (!brands.length) return html`${head}<div class="card"><${NoShop} brands=${read.data.brands} /></div>`;
  return html`${head}<${Brands} brands=${brands} apikey=${manifest.key} />`;
}

/** Shown once each brand has told how it stands (or cannot), so that no card pushes the next one down. */
function Brands({ brands, apikey }) {
  const [ready, set] = useState(new Set());
  const shown = brands.every((brand) => ready.has(brand.id));
  const heard = (id) => set((old) => (old.has(id) ? old : new Set([...old, id])));
  useEffect(() => { const id = setTimeout(() => set(new Set(brands.map((brand) => brand.id))), 4000); return () => clearTimeout(id); }, []);
  return html`${!shown && html`<div class="card"><${Bones} rows=${8} /></div>`}<div class="stack" style=${{ display: shown ? "" : "none" }}>${brands.map((brand) => html`<${Brand} key=${brand.id} brand=${brand} apikey=${apikey} heard=${heard} />`)}<${Snippet} brand=${brands[0]} apikey=${apikey} /></div>`;
}

function Snippet({ brand, apikey }) {
  const text = `<script type="module" src="${location.origin}/api/stores/widget.js"></script>\n<headgate-sync-progress brand="${brand.id}"\n  apikey="${apikey || "PUBLISHABLE KEY"}"></headgate-sync-progress>\n<script type="module">\n  document.querySelector("headgate-sync-progress").getToken = async () =>\n    (await supabase.auth.getSession()).data.session?.access_token;\n</script>`;
  return html`<section class="card"><div class="card-head"><div><h2>On your own site</h2><p>The same in any page; it hides itself when the sync is complete.</p></div><button class="button small" type="button" onClick=${() => act(() => navigator.clipboard.writeText(text), "Copied.")}>Copy</button></div><${Code} text=${text} label="For your own site" /></section>`;
}

function Brand({ brand, apikey, heard }) {
  const element = useRef(null);
  const [told, tell] = useState(null);
  const [theme, setTheme] = useState(document.documentElement.dataset.theme || "");
  useEffect(() => {
    const on = (event) => { tell(event.detail); heard(brand.id); };
    const off = () => heard(brand.id);
    const own = element.current;
    own.addEventListener("headgate-sync", on);
    own.addEventListener("headgate-sync-denied", off);
    own.getToken = async () => ((await client.auth.getSession()).data.session || {}).access_token;
    own.setAttribute("brand", brand.id);
    const themed = () => setTheme(document.documentElement.dataset.theme || "");
    addEventListener("headgate-theme", themed);
    return () => { own.removeEventListener("headgate-sync", on); own.removeEventListener("headgate-sync-denied", off); removeEventListener("headgate-theme", themed); };
  }, [brand.id]);
  return html`<section class="card"><div class="card-head" style=${{ minHeight: "44px" }}><div><h2>${brand.name}</h2><p>${told ? `${told.summary}${told.last_update ? ` · last change ${ago(since(told.last_update))}` : ""}` : "\u00a0"}</p></div>${told && html`<${Badge} tone=${TONES[told.overall_status]}>${told.overall_status}<//>`}</div>
    <headgate-sync-progress ref=${element} stay heading="Milestones" apikey=${apikey || undefined} theme=${theme || undefined} server=${location.origin}></headgate-sync-progress>
    ${told && html`<${Figures} told=${told} />${told.shops.length > 1 && html`<${Shops} shops=${told.shops} />`}`}</section>`;
}

function Figures({ told }) {
  return html`<dl class="stats" style=${{ marginTop: "16px" }}><${Stat} label="Objects read" value=${count(told.objects_seen)} /><${Stat} label="Verified" value=${told.verified ? "Yes" : "Not yet"} note="against Shopify" /><${Stat} label="Coverage" value=${COVERAGE[told.coverage.orders] || "–"} />
      ${told.eta_s != null && html`<${Stat} label="Left" value=${duration(told.eta_s)} />`}</dl>${told.coverage.reason && html`<div class="note" role="note" style=${{ margin: "16px 0 0" }}><span>${told.coverage.reason}</span></div>`}`;
}

/** Each shop by itself, where the milestones above are the sum of several. */
function Shops({ shops }) {
  const done = (shop) => shop.milestones.filter((one) => one.status === "completed").length;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Shops of this brand" style=${{ marginTop: "16px" }}><table><thead><tr><th scope="col">Shop</th><th scope="col">Milestones</th><th scope="col" class="num">State</th></tr></thead><tbody>
    ${shops.map((shop) => html`<tr key=${shop.connection_id}><td><strong>${shop.name || shop.shop}</strong>${shop.error && html`<span class="sub">${shop.error}</span>`}</td><td><${Progress} label=${`Milestones of ${shop.name || shop.shop}`} seen=${done(shop)} expected=${shop.milestones.length || 1} tone=${shop.overall_status === "completed" ? "good" : ""} /><span class="sub">${done(shop)} of ${shop.milestones.length}</span></td><td class="num"><${Badge} tone=${TONES[shop.overall_status]}>${shop.overall_status}<//></td></tr>`)}</tbody></table></div>`;
}
