// `<headgate-sync-progress>`: how the sync of a brand's shops stands, on any site. Needs nothing but a browser.
//
//   <script type="module" src="https://your-server/api/stores/widget.js"></script>
//   <headgate-sync-progress brand="…" token="…"></headgate-sync-progress>
//
// Attributes: `brand` (id), `token` (a user's access token; or set the property `getToken`, a function that gives one),
// `apikey` (publishable key, for live changes), `server` (default: where this file came from), `theme` (light | dark;
// default: the visitor's), `stay` (do not hide when complete), `heading`. Events: `headgate-sync` with every status,
// `headgate-sync-complete` once. Shows nothing before the first answer and hides itself a moment after completion.

const HERE = new URL(import.meta.url).origin;
const NAMES = {
  connected: "Shop connected", recent: "Last days", orders: "Orders", customers: "Customers", products: "Products and stock",
  reconciled: "Checked to the cent",
};
const WORDS = {
  pending: "waiting", queued: "queued", in_progress: "in progress", completed: "done", partial: "incomplete", error: "failed",
};
const STAGES = {
  waiting_slot: "waiting for Shopify", submitted: "Shopify prepares the file", downloading: "downloading", staged: "downloaded",
  retrying: "trying again",
};
const HIDE_AFTER_MS = 4000;

const STYLE = `
:host { display: block; --ink: #16181d; --quiet: #5b6472; --paper: #ffffff; --line: #dfe3e8; --track: #e9ecf1;
  --go: #2563eb; --good: #15803d; --warn: #a16207; --bad: #b91c1c; color-scheme: light; }
@media (prefers-color-scheme: dark) { :host(:not([theme=light])) { --ink: #e8eaee; --quiet: #9aa3b2; --paper: #16191f;
  --line: #2c313a; --track: #2a2f38; --go: #6ea0ff; --good: #4ade80; --warn: #facc15; --bad: #f87171; color-scheme: dark; } }
:host([theme=dark]) { --ink: #e8eaee; --quiet: #9aa3b2; --paper: #16191f; --line: #2c313a; --track: #2a2f38; --go: #6ea0ff;
  --good: #4ade80; --warn: #facc15; --bad: #f87171; color-scheme: dark; }
:host([hidden]) { display: none; }
section { font: 14px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink); background: var(--paper);
  border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; box-sizing: border-box; }
header { display: flex; gap: 12px; justify-content: space-between; align-items: baseline; flex-wrap: wrap; margin-bottom: 10px; }
h2 { font-size: 15px; margin: 0; font-weight: 600; }
.state { color: var(--quiet); font-variant-numeric: tabular-nums; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 9px; }
li { display: grid; grid-template-columns: 18px minmax(0, 1fr) auto; gap: 2px 10px; align-items: center; }
.mark { width: 10px; height: 10px; border-radius: 50%; border: 2px solid var(--line); justify-self: center; box-sizing: border-box; }
.in_progress .mark, .queued .mark { border-color: var(--go); }
.in_progress .mark { animation: breathe 1.4s ease-in-out infinite; }
.completed .mark { background: var(--good); border-color: var(--good); }
.partial .mark { background: var(--warn); border-color: var(--warn); }
.error .mark { background: var(--bad); border-color: var(--bad); }
.figures { color: var(--quiet); font-variant-numeric: tabular-nums; text-align: right; font-size: 13px; }
.bar { grid-column: 2 / 4; height: 4px; border-radius: 2px; background: var(--track); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--go); border-radius: 2px; transition: width .4s ease; }
.bar.unknown i { width: 34%; animation: slide 1.6s ease-in-out infinite; }
.why { grid-column: 2 / 4; color: var(--bad); font-size: 13px; overflow-wrap: anywhere; }
.partial .why { color: var(--warn); }
footer { margin-top: 10px; color: var(--quiet); font-size: 13px; }
footer:empty { display: none; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@keyframes breathe { 50% { opacity: .35; } }
@keyframes slide { from { transform: translateX(-100%); } to { transform: translateX(300%); } }
@media (prefers-reduced-motion: reduce) { .mark, .bar i { animation: none !important; transition: none; } }
`;

// A constructed sheet needs no exception in the content security policy of the page around it.
const SHEET = new CSSStyleSheet();
SHEET.replaceSync(STYLE);
const number = new Intl.NumberFormat();

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Seconds as people say them. */
function soon(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return "less than a minute left";
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `about ${minutes} min left` : `about ${Math.round(minutes / 60)} h left`;
}

function figures({ status, objects_seen: seen, detail }, progress) {
  const stage = status === "in_progress" || status === "queued" ? STAGES[(detail || {}).state] : "";
  if (status === "in_progress" && progress && progress.rows_written) return `${number.format(progress.rows_written)} of ${number.format(progress.total_rows)} · ${progress.progress_pct} %`;
  if (stage) return stage;
  if ((status === "completed" || status === "partial") && seen) return `${number.format(seen)} · ${WORDS[status]}`;
  return WORDS[status] || status;
}

function why({ error, status, detail }) {
  if (error) return error;
  const missing = status === "partial" && detail && detail.missing;
  if (!missing) return "";
  const told = (one) => (typeof one === "string" ? one : one.what && one.why ? `${one.what}: ${one.why}` : one.why || one.what || one.message || JSON.stringify(one));
  return Array.isArray(missing) ? missing.map(told).join("; ") : String(missing);
}

/** Set text and attributes only where they differ, so that nothing is animated or read aloud anew. */
function put(node, text) { if (node.textContent !== text) node.textContent = text; }
function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export class HeadgateSyncProgress extends HTMLElement {
  static observedAttributes = ["brand", "token", "server", "apikey", "heading"];
  #root = this.attachShadow({ mode: "open" });
  #timer = 0;
  #hiding = 0;
  #socket = null;
  #beat = 0;
  #round = 0;
  #status = null;
  #failures = 0;
  #told = "";
  #heard = "";
  #ask = null;
  #furthest = new Map();

  connectedCallback() {
    // A page may have set the property before this file was here.
    if (Object.hasOwn(this, "getToken")) { this.#ask = this.getToken; delete this.getToken; }
    this.#begin();
    document.addEventListener("visibilitychange", this.#seen);
  }
  disconnectedCallback() { this.#stop(); document.removeEventListener("visibilitychange", this.#seen); }
  attributeChangedCallback(_, before, after) { if (this.isConnected && before !== after) this.#begin(); }

  /** A function that gives an access token, asked before each request; it begins anew when it is set. */
  get getToken() { return this.#ask; }
  set getToken(ask) { this.#ask = ask; if (this.isConnected) this.#begin(); }
  /** The last answer of the status endpoint, or null. */
  get status() { return this.#status; }
  /** Read now. */
  refresh() { clearTimeout(this.#timer); return this.#read(this.#round); }

  #seen = () => { if (!document.hidden && this.getAttribute("brand")) this.refresh(); };

  #begin() {
    this.#stop();
    this.#status = null;
    this.#told = "";
    this.#furthest.clear();
    this.#root.replaceChildren();
    if (!this.getAttribute("brand") || !(this.#ask || this.getAttribute("token"))) return;
    // Attributes come one after the other: one question answers for all of them.
    const round = this.#round;
    queueMicrotask(() => this.#read(round));
  }

  #stop() {
    this.#round += 1;
    clearTimeout(this.#timer);
    clearTimeout(this.#hiding);
    this.#hang();
  }

  #hang() {
    clearInterval(this.#beat);
    if (this.#socket) { this.#socket.onclose = null; this.#socket.close(); }
    this.#socket = null;
    this.#heard = "";
  }

  get #server() { return (this.getAttribute("server") || HERE).replace(/\/$/, ""); }

  async #token() {
    return (this.#ask ? await this.#ask() : this.getAttribute("token")) || "";
  }

  async #read(round) {
    if (round !== this.#round) return;
    try {
      const answer = await fetch(`${this.#server}/api/sync/${encodeURIComponent(this.getAttribute("brand"))}/status`, {
        headers: { Authorization: `Bearer ${await this.#token()}` },
      });
      if (round !== this.#round) return;
      if (answer.status === 401 || answer.status === 404) { this.#deny(answer.status); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      this.#status = await answer.json();
      this.#failures = 0;
      this.#show(this.#status.shopify);
      this.#listen(round);
    } catch {
      if (round !== this.#round) return;
      this.#failures += 1;
      if (this.#failures > 2) this.#say("No connection; trying again");
    }
    this.#again(round);
  }

  #again(round) {
    if (round !== this.#round) return;
    clearTimeout(this.#timer);
    const overall = this.#status && this.#status.shopify.overall_status;
    const busy = overall === "syncing";
    // Live changes make asking rarer, never unnecessary: a websocket may be silent for many reasons.
    const live = this.#socket && this.#socket.joined;
    const idle = overall === "pending" ? 5000 : 20000;
    const wait = this.#failures ? Math.min(30000, 2000 * this.#failures) : busy ? (live ? 10000 : 2000) : idle;
    this.#timer = setTimeout(() => { if (document.hidden) this.#again(round); else this.#read(round); }, wait);
  }

  /** Realtime of the same server: any change of a milestone is a reason to read. Without it, polling goes on as it was. */
  async #listen(round) {
    const key = this.getAttribute("apikey");
    const shops = this.#status.shopify.shops.map((one) => one.connection_id).join(",");
    if (round !== this.#round || !key || !shops || shops === this.#heard || !("WebSocket" in window)) return;
    this.#hang();
    this.#heard = shops;
    const url = `${this.#server.replace(/^http/, "ws")}/realtime/v1/websocket?apikey=${encodeURIComponent(key)}&vsn=1.0.0`;
    const token = await this.#token();
    if (round !== this.#round || shops !== this.#heard) return;
    let socket;
    try { socket = new WebSocket(url); } catch { return; }
    this.#socket = socket;
    let ref = 0;
    const send = (topic, event, payload) => { if (socket.readyState === 1) socket.send(JSON.stringify({ topic, event, payload, ref: String(++ref), join_ref: "1" })); };
    socket.onopen = () => {
      send("realtime:headgate-sync", "phx_join", {
        config: {
          broadcast: { ack: false, self: false }, presence: { key: "" },
          postgres_changes: [{ event: "*", schema: "public", table: "shop_milestones", filter: `connection_id=in.(${shops})` }],
        },
        access_token: token,
      });
      this.#beat = setInterval(() => send("phoenix", "heartbeat", {}), 25000);
    };
    let waiting = 0;
    socket.onmessage = (message) => {
      let told;
      try { told = JSON.parse(message.data); } catch { return; }
      if (told.event === "phx_reply" && told.payload && told.payload.status === "ok" && told.topic !== "phoenix") socket.joined = true;
      if (told.event !== "postgres_changes" || waiting) return;
      waiting = setTimeout(() => { waiting = 0; if (round === this.#round) this.refresh(); }, 250);
    };
    socket.onclose = () => {
      clearInterval(this.#beat);
      socket.joined = false;
      // The next reading but a few opens another.
      setTimeout(() => { if (this.#socket === socket) this.#heard = ""; }, 15000);
    };
  }

  /** Nothing of what was shown stays. A function that gives tokens may give a better one later. */
  #deny(status) {
    this.#stop();
    this.#status = null;
    this.#root.replaceChildren();
    if (status === 401 && this.#ask) this.#timer = setTimeout(() => this.#read(this.#round), 10000);
    this.dispatchEvent(new CustomEvent("headgate-sync-denied", { detail: { status }, bubbles: true, composed: true }));
  }

  #say(text) {
    const footer = this.#root.querySelector("footer");
    if (footer) footer.textContent = text;
  }

  #show(sync) {
    this.dispatchEvent(new CustomEvent("headgate-sync", { detail: sync, bubbles: true, composed: true }));
    const done = sync.overall_status === "completed";
    const first = !this.#root.firstChild;
    if (done && first && !this.hasAttribute("stay")) { this.#finish(); return; }
    if (!sync.shops.length) { this.#root.replaceChildren(); return; }
    this.#paint(sync, done);
    if (done) {
      clearTimeout(this.#hiding);
      this.#hiding = setTimeout(() => this.#finish(), this.hasAttribute("stay") ? 0 : HIDE_AFTER_MS);
    } else {
      clearTimeout(this.#hiding);
      this.hidden = false;
    }
  }

  #finish() {
    if (!this.hasAttribute("stay")) this.hidden = true;
    if (this.#told === "complete") return;
    this.#told = "complete";
    this.dispatchEvent(new CustomEvent("headgate-sync-complete", { bubbles: true, composed: true }));
  }

  #paint(sync, done) {
    const heading = this.getAttribute("heading") || "Shop sync";
    const finished = sync.milestones.filter((one) => one.status === "completed").length;
    const state = done ? "Complete" : sync.overall_status === "error" ? "Needs attention" : sync.overall_status === "partial" ? "Incomplete" : `${finished} of ${sync.milestones.length}`;
    // Drawn once and changed in place: bars glide, and a screen reader hears what changes and nothing else.
    if (!this.#root.firstChild) {
      this.#root.adoptedStyleSheets = [SHEET];
      this.#root.replaceChildren(element("section", {}, element("header", {}, element("h2"), element("span", { class: "state" })), element("ol"), element("footer")), element("p", { class: "spoken", role: "status" }));
    }
    const section = this.#root.querySelector("section");
    mark(section, "aria-label", heading);
    mark(section, "data-status", sync.overall_status);
    put(section.querySelector("h2"), heading);
    put(section.querySelector(".state"), state);
    const list = section.querySelector("ol");
    const lines = sync.milestones.map((one) => this.#line(one, list.querySelector(`[data-label="${CSS.escape(one.label)}"]`)));
    if (lines.length !== list.children.length || lines.some((line, i) => line !== list.children[i])) list.replaceChildren(...lines);
    const troubles = sync.shops.map((one) => one.state === "error" && one.error).filter(Boolean);
    put(section.querySelector("footer"), [...troubles, sync.overall_status === "syncing" ? soon(sync.eta_s) : "", sync.coverage && sync.coverage.reason].filter(Boolean).join(" · "));
    put(this.#root.querySelector("[role=status]"), `${heading}: ${state}. ${sync.summary}.`);
  }

  /** The furthest that a milestone was: a file that is read a second time, or a shop that joins, takes nothing back. */
  #progress(one) {
    const known = this.#furthest.get(one.label);
    if (one.status !== "in_progress") {
      if (one.status !== "queued" || !known) this.#furthest.delete(one.label);
      return null;
    }
    const now = one.progress || null;
    if (known && known.began === one.started_at && (!now || now.progress_pct < known.progress.progress_pct)) return known.progress;
    if (now) this.#furthest.set(one.label, { began: one.started_at, progress: { ...now, progress_pct: Math.max(0, Math.min(100, now.progress_pct)) } });
    return now && this.#furthest.get(one.label).progress;
  }

  #line(one, before) {
    const line = before || element("li", { "data-label": one.label }, element("span", { class: "mark", "aria-hidden": "true" }), element("span", { class: "name" }), element("span", { class: "figures" }));
    const name = NAMES[one.label] || one.label;
    const progress = this.#progress(one);
    mark(line, "class", one.status);
    put(line.querySelector(".name"), name);
    put(line.querySelector(".figures"), figures(one, progress));
    let bar = line.querySelector(".bar");
    if (one.status === "in_progress") {
      if (!bar) { bar = element("div", { role: "progressbar" }, element("i")); line.querySelector(".figures").after(bar); }
      const known = progress && progress.rows_written > 0;
      mark(bar, "class", known ? "bar" : "bar unknown");
      mark(bar, "aria-label", name);
      for (const [attribute, value] of [["aria-valuemin", "0"], ["aria-valuemax", "100"], ["aria-valuenow", known ? String(progress.progress_pct) : ""]]) mark(bar, attribute, known ? value : null);
      bar.firstChild.style.width = known ? `${progress.progress_pct}%` : "";
    } else if (bar) bar.remove();
    const reason = why(one);
    let said = line.querySelector(".why");
    if (reason) {
      if (!said) { said = element("span", { class: "why" }); line.append(said); }
      put(said, reason);
    } else if (said) said.remove();
    return line;
  }
}

if (!customElements.get("headgate-sync-progress")) customElements.define("headgate-sync-progress", HeadgateSyncProgress);
