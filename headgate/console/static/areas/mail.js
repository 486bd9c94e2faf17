// Mail that the auth service wrote: an inbox while no mail server is set, and what waits or failed with one.
import { html, useState } from "../names.js";
import { ask, useAsk, view } from "../client.js";
import { Badge, Empty, Failure, Stale } from "../ui.js";
import { Bones, Code, Facts, Pager, Tabs } from "../widgets.js";
import { ago, when } from "../format.js";

const STEP = 25;
const LINK = /https?:\/\/[^\s<>"']+/g;

export default function Mail() {
  const [page, setPage] = useState(0);
  const [open, setOpen] = useState(null);
  const read = useAsk(`mail ${page}`, () => ask(view("mail").select("*").order("id", { ascending: false }).range(page * STEP, page * STEP + STEP - 1)), { every: 3000 });
  const mail = open && (read.data || []).find((m) => m.id === open);
  return html`<div class="head"><div><h1>Mail</h1><p>Without a mail server, mail stays here. Set <code>HEADGATE_SMTP_HOST</code> to send it.</p></div></div>
    <div class="cols"><div class="card flush" style=${{ minHeight: "640px" }}>${!read.data ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${12} />`) : html`<${Stale} error=${read.error} retry=${read.reload} />
      ${!read.data.length ? html`<${Empty} icon="mail" title="No mail yet">Sign-up, sign-in links and password mails appear here within seconds.<//>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Mail"><table><thead><tr><th scope="col">Mail</th><th scope="col">State</th><th class="num" scope="col">When</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead><tbody>${read.data.map((m) => html`<tr key=${m.id}><td style=${{ overflowWrap: "anywhere" }}><span class="name">${m.subject}</span><span class="sub">to ${m.recipient}</span></td><td><${Badge} tone=${{ failed: "bad", queued: "warn", sent: "good" }[m.state] || ""}>${m.state}<//></td><td class="num quiet">${ago((Date.now() - Date.parse(m.created_at)) / 1000)}</td><td class="num"><button class="button small" type="button" aria-label=${`Read ${m.subject} to ${m.recipient}`} onClick=${() => setOpen(m.id)}>Read</button></td></tr>`)}</tbody></table></div>
      <${Pager} page=${page} size=${STEP} shown=${read.data.length} onPage=${setPage} />`}`}</div>
    <section class="card" style=${{ minHeight: "640px" }} aria-live="polite">${mail ? html`<${Letter} mail=${mail} />` : html`<${Empty} icon="mail" title="Choose a mail">It opens here, with its links.<//>`}</section></div>`;
}

/** A link of the auth service, as this browser reaches it; null for any other, which is only shown. */
function here(link) {
  try {
    const url = new URL(link);
    return url.pathname === "/auth/v1/verify" ? url.pathname + url.search : null;
  } catch { return null; }
}

/** Shown as text: what a mail says is somebody else's words, so it is never run as a page. */
function Letter({ mail: m }) {
  const [way, setWay] = useState("text");
  const links = [...new Set(`${m.text || ""} ${(m.html || "").replace(/&amp;/g, "&")}`.match(LINK) || [])];
  const own = [...new Set(links.map(here).filter(Boolean))];
  return html`<div class="card-head"><h2 style=${{ overflowWrap: "anywhere" }}>${m.subject}</h2></div><${Facts} items=${[["To", m.recipient], ["Kind", m.kind], ["When", when(m.created_at)], m.error && ["Error", m.error]]} />
    ${own.length > 0 && html`<div class="row" style=${{ margin: "12px 0" }}>${own.map((link) => html`<a class="button" key=${link} href=${link} rel="noreferrer" target="_blank">Open the link</a>`)}</div>`}
    <div class="row" style=${{ margin: "12px 0" }}><${Tabs} label="Show" options=${[["text", "Text"], ["html", "HTML source"]]} value=${way} onChange=${setWay} /></div>
    ${m.text == null && m.html == null ? html`<p class="quiet small">The body was handed to the mail server and forgotten.</p>` : html`<${Code} label="Body of the mail" text=${(way === "text" ? m.text : m.html) || "–"} />`}`;
}
