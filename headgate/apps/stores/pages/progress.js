// How the sync of each brand stands: the widget that any site may use, and what it is made of.
import { html, useEffect, useRef, useState } from "../../static/names.js";
import { client } from "../../static/client.js";
import { Badge, Failure, Stat } from "../../static/ui.js";
import { Bones } from "../../static/widgets.js";
import { ago, count, duration } from "../../static/format.js";
import { NoShop, SignIn, since, useBrands } from "./brand.js";
import "./widget.js";

const TONES = { completed: "good", partial: "warn", error: "bad", syncing: "run", pending: "" };

export default function SyncProgress({ who, manifest }) {
  const read = useBrands(who);
  const head = html`<div class="head"><div><h1>Sync</h1><p>Milestones of each brand, as they are reached.</p></div></div>`;
  if (!who.user) return html`${head}<${SignIn} />`;
  if (!read.data) return html`${head}<div class="card">${read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`}</div>`;
  const brands = read.data.brands.filter((brand) => read.data.shops.some((shop) => shop.brand_id === brand.id));
  if (!brands.length) return html`${head}<div class="card"><${NoShop} /></div>`;
  return html`${head}<div class="stack">${brands.map((brand) => html`<${Brand} key=${brand.id} brand=${brand} apikey=${manifest.key} />`)}
    <section class="card"><div class="card-head"><div><h2>On your own site</h2><p>The same, in any page; it hides itself when the sync is complete.</p></div></div>
      <pre class="code" tabindex="0" style=${{ whiteSpace: "pre-wrap", overflowWrap: "anywhere", margin: 0 }}>${`<script type="module" src="${location.origin}/api/stores/widget.js"></script>\n<headgate-sync-progress brand="${brands[0].id}"></headgate-sync-progress>\n<script type="module">\n  document.querySelector("headgate-sync-progress").getToken = async () =>\n    (await supabase.auth.getSession()).data.session.access_token;\n</script>`}</pre></section></div>`;
}

function Brand({ brand, apikey }) {
  const element = useRef(null);
  const [told, tell] = useState(null);
  const [theme, setTheme] = useState(document.documentElement.dataset.theme || "");
  useEffect(() => {
    const on = (event) => tell(event.detail);
    const own = element.current;
    own.getToken = async () => ((await client.auth.getSession()).data.session || {}).access_token;
    own.addEventListener("headgate-sync", on);
    own.setAttribute("brand", brand.id);
    const themed = () => setTheme(document.documentElement.dataset.theme || "");
    addEventListener("headgate-theme", themed);
    return () => { own.removeEventListener("headgate-sync", on); removeEventListener("headgate-theme", themed); };
  }, [brand.id]);
  return html`<section class="card"><div class="card-head"><div><h2>${brand.name}</h2>${told && html`<p>${told.summary}${told.last_update ? ` · last change ${ago(since(told.last_update))}` : ""}</p>`}</div>${told && html`<${Badge} tone=${TONES[told.overall_status]}>${told.overall_status}<//>`}</div>
    ${told && html`<dl class="stats" style=${{ marginBottom: "16px" }}><${Stat} label="Objects seen" value=${count(told.objects_seen)} /><${Stat} label="Verified" value=${told.verified ? "yes" : "not yet"} note="counted against Shopify" />
      <${Stat} label="Coverage" value=${told.coverage.orders === "all" ? "all orders" : told.coverage.orders === "60_days" ? "60 days" : "–"} note=${told.coverage.reason || ""} /><${Stat} label="Left" value=${told.eta_s == null ? "–" : duration(told.eta_s)} /></dl>`}
    <headgate-sync-progress ref=${element} stay heading="Milestones" apikey=${apikey || undefined} theme=${theme || undefined} server=${location.origin}></headgate-sync-progress></section>`;
}
