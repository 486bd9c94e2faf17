// The frame: reads which applications and pages there are, routes by the address's hash, switches the theme.
import { Component, html, render, useEffect, useState } from "./names.js";
import { configure, useLive } from "./api.js";
import { Empty, Failure, ICONS } from "./ui.js";

/** "#/tickets/events/12?zone=A" → {app, page, rest: ["12"], query} */
function where() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [app, page, ...rest] = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { app, page, rest, query: new URLSearchParams(query || "") };
}

class Guard extends Component {
  constructor() { super(); this.state = { error: null }; }
  componentDidCatch(error) { console.error(error); this.setState({ error }); }
  componentDidUpdate(old) { if (old.at !== this.props.at && this.state.error) this.setState({ error: null }); }
  render({ children }, { error }) {
    return error ? html`<main class="page"><${Failure} error=${{ code: "PAGE", message: `This page stopped: ${error.message}` }} retry=${() => location.reload()} /></main>` : children;
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function Theme() {
  const [dark, set] = useState(isDark());
  const flip = () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("headgate-theme", next); } catch { /* private mode: the choice lasts until reload */ }
    set(next === "dark");
    dispatchEvent(new Event("headgate-theme"));
  };
  return html`<button class="icon" type="button" onClick=${flip} aria-label=${dark ? "Use light colours" : "Use dark colours"} title=${dark ? "Light" : "Dark"}>${dark ? ICONS.sun : ICONS.moon}</button>`;
}

function LiveDot() {
  const live = useLive();
  const [beat, set] = useState(false);
  useEffect(() => { if (!live.beats) return undefined; set(true); const id = setTimeout(() => set(false), 900); return () => clearTimeout(id); }, [live.beats]);
  return html`<span class=${`live ${live.on ? "on" : "off"} ${beat ? "beat" : ""}`} role="status" data-beats=${live.beats}><i></i>${live.on ? "Live" : "Reconnecting"}</span>`;
}

function Shell({ manifest }) {
  const [at, go] = useState(where());
  const [module, load] = useState(null);
  useEffect(() => { const on = () => { go(where()); }; addEventListener("hashchange", on); return () => removeEventListener("hashchange", on); }, []);
  const app = manifest.apps.find((a) => a.name === at.app) || manifest.apps[0];
  const page = app && (app.pages.find((p) => p.name === at.page) || app.pages[0]);
  const file = page && page.module;
  useEffect(() => {
    if (!file) return;
    document.title = `${page.title} · Headgate`;
    import(`../${file}`).then((m) => load({ file, View: m.default }), (error) => load({ file, error }));
  }, [file]);
  const key = [at.app, at.page, ...at.rest].join("/");
  useEffect(() => { scrollTo(0, 0); }, [key]);
  return html`<header class="top"><div class="top-in">
      <a class="brand" href="#/"><img src="static/icon.svg" alt="" />Headgate</a>
      <nav class="tabs" aria-label="Pages">${app && app.pages.map((p) => html`<a class="tab" key=${p.name} href=${`#/${app.name}/${p.name}`} aria-current=${p === page ? "page" : undefined}>${p.title}</a>`)}</nav>
      <div class="top-right">${manifest.apps.length > 1 && html`<nav class="row" aria-label="Applications">${manifest.apps.map((a) => html`<a class="tab" key=${a.name} href=${`#/${a.name}`}>${a.title}</a>`)}</nav>`}<${LiveDot} /><${Theme} /></div>
    </div></header>
    ${!page ? html`<main class="page"><${Empty} title="No application has pages">Install one, or name it in <code>HEADGATE_APPS</code>.<//></main>`
    : module && module.file === file
      ? module.error ? html`<main class="page"><${Failure} error=${{ code: "PAGE", message: module.error.message }} retry=${() => location.reload()} /></main>`
        : html`<${Guard} at=${key}><main class="page" id="main"><${module.View} key=${key} rest=${at.rest} query=${at.query} base=${`#/${app.name}`} /></main><//>`
      : html`<main class="page" aria-busy="true"></main>`}`;
}

async function start() {
  const root = document.getElementById("app");
  try {
    const manifest = await (await fetch("manifest.json")).json();
    configure(manifest.key);
    root.replaceChildren();
    render(html`<${Shell} manifest=${manifest} />`, root);
  } catch (error) {
    render(html`<main class="page"><${Failure} error=${{ code: "UNREACHABLE", message: error.message }} retry=${() => location.reload()} /></main>`, root);
  }
}

start();

