// The frame: areas and applications beside the page, routes by the address's hash, keyboard, theme, who is signed in.
import { Component, html, render, useEffect, useMemo, useRef, useState } from "./names.js";
import { configure, useLive } from "./api.js";
import { begin, client, useWho } from "./client.js";
import { AREAS } from "./areas.js";
import { Empty, Failure, ICONS } from "./ui.js";
import { Dialog } from "./widgets.js";

/** "#/tickets/events/12?zone=A" → {app, page, rest: ["12"], query} */
function where() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  return { app: parts[0], page: parts[1], rest: parts.slice(2), parts: parts.slice(1), query: new URLSearchParams(query || "") };
}

class Guard extends Component {
  constructor() { super(); this.state = { error: null }; }
  componentDidCatch(error) { console.error(error); this.setState({ error }); }
  componentDidUpdate(old) { if (old.at !== this.props.at && this.state.error) this.setState({ error: null }); }
  render({ children }, { error }) {
    return error ? html`<${Failure} error=${{ code: "PAGE", message: `This page stopped: ${error.message}` }} retry=${() => location.reload()} />` : children;
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function flipTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("headgate-theme", next); } catch { /* private mode: the choice lasts until reload */ }
  dispatchEvent(new Event("headgate-theme"));
}

function Theme() {
  const [dark, set] = useState(isDark());
  useEffect(() => { const on = () => set(isDark()); addEventListener("headgate-theme", on); return () => removeEventListener("headgate-theme", on); }, []);
  return html`<button class="icon" type="button" onClick=${flipTheme} aria-label=${dark ? "Use light colours" : "Use dark colours"} title=${dark ? "Light" : "Dark"}>${dark ? ICONS.sun : ICONS.moon}</button>`;
}

function LiveDot() {
  const live = useLive();
  const [beat, set] = useState(false);
  useEffect(() => { if (!live.beats) return undefined; set(true); const id = setTimeout(() => set(false), 900); return () => clearTimeout(id); }, [live.beats]);
  if (!live.used) return html`<span class="live" role="status"></span>`;
  return html`<span class=${`live ${live.on ? "on" : "off"} ${beat ? "beat" : ""}`} role="status" data-beats=${live.beats}><i></i>${live.on ? "Live" : "Reconnecting"}</span>`;
}

/** What this visitor is offered. The database decides what is allowed. */
function offered(who) {
  return AREAS.filter((area) => !area.hidden && (area.for === "all" || (who.user && (area.for === "user" || who.admin))));
}

function Nav({ manifest, who, at }) {
  const groups = [["", []], ["Data", []], ["Operation", []], ["Services", []]];
  for (const area of offered(who)) groups.find(([name]) => name === area.group)[1].push(area);
  const link = (name, title, icon, inner) => html`<a key=${name} class=${inner ? "inner" : ""} href=${`#/${name}`} aria-current=${isAt(name, at) ? "page" : undefined}>${icon && ICONS[icon]}${title}</a>`;
  const part = ([name, areas]) => areas.length > 0 && html`${name && html`<h2>${name}</h2>`}${areas.map((a) => link(a.name, a.title, a.icon))}`;
  return html`<nav class="side-nav" aria-label="Areas">${part(groups[0])}
    ${manifest.apps.map((app) => html`<h2 key=${app.name}>${app.title}</h2>${app.pages.map((p) => link(`${app.name}/${p.name}`, p.title, "page"))}`)}
    ${groups.slice(1).map(part)}</nav>`;
}

function isAt(name, at) {
  const [area, page] = name.split("/");
  return page ? at.app === area && at.page === page : area === (at.app || "overview");
}

function Palette({ manifest, who, onClose }) {
  const [words, setWords] = useState("");
  const [index, setIndex] = useState(0);
  const all = useMemo(() => [
    ...offered(who).map((a) => ({ href: `#/${a.name}`, title: a.title, group: a.group || "Headgate" })),
    ...manifest.apps.flatMap((app) => app.pages.map((p) => ({ href: `#/${app.name}/${p.name}`, title: p.title, group: app.title }))),
    who.user ? { href: "#/account", title: "Account", group: who.user.email || "You" } : { href: "#/sign-in", title: "Sign in", group: "You" },
    { act: flipTheme, title: "Switch light and dark", group: "Appearance" },
    ...(who.user ? [{ act: () => client.auth.signOut(), title: "Sign out", group: "You" }] : []),
  ], [who]);
  const found = all.filter((item) => words.toLowerCase().split(/\s+/).every((w) => `${item.title} ${item.group}`.toLowerCase().includes(w)));
  const chosen = Math.min(index, found.length - 1);
  const go = (item) => { if (!item) return; onClose(); if (item.act) item.act(); else location.hash = item.href.slice(1); };
  const keys = (e) => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") { e.preventDefault(); setIndex(Math.max(0, Math.min(found.length - 1, chosen + (e.key === "ArrowDown" ? 1 : -1)))); }
    if (e.key === "Enter") { e.preventDefault(); go(found[chosen]); }
  };
  return html`<${Dialog} title="Go to" onClose=${onClose}><input class="input" type="search" role="combobox" aria-expanded="true" aria-controls="palette" aria-activedescendant=${found.length ? `go-${chosen}` : undefined} aria-label="Page or action" placeholder="Page or action" value=${words} onInput=${(e) => { setWords(e.target.value); setIndex(0); }} onKeyDown=${keys} autofocus />
    <ul class="palette-list" id="palette" role="listbox" aria-label="Pages and actions">${found.map((item, i) => html`<li key=${item.title + item.group} id=${`go-${i}`} role="option" aria-selected=${String(i === chosen)}>
      <a href=${item.href || "#"} tabindex="-1" onClick=${(e) => { e.preventDefault(); go(item); }}>${item.title}<small>${item.group}</small></a></li>`)}</ul>
    ${!found.length && html`<p class="quiet small" role="status">Nothing is called that.</p>`}<//>`;
}

function Account({ who }) {
  const name = who.user && (who.user.email || who.user.phone || "Anonymous user");
  return who.user
    ? html`<a class="who" href="#/account" title=${name}><i class="avatar" aria-hidden="true">${name[0]}</i><span>${name}</span></a>`
    : html`<a class="button" href="#/sign-in" style=${{ flex: 1 }}>Sign in</a>`;
}

function Page({ manifest, at, who }) {
  const [module, load] = useState(null);
  const area = AREAS.find((a) => a.name === (at.app || "overview"));
  const app = !area && manifest.apps.find((a) => a.name === at.app);
  const page = app && (app.pages.find((p) => p.name === at.page) || app.pages[0]);
  const file = area ? `./areas/${area.module}` : page && `../${page.module}`;
  const title = area ? area.title : page ? page.title : "Not found";
  useEffect(() => {
    document.title = `${title} · Headgate`;
    if (!file) return undefined;
    let left = false;  // a page that comes late must not push out the one that was asked for after it
    const show = (found) => { if (!left) load({ file, ...found }); };
    import(file).then((m) => show({ View: m.default }), (error) => show({ error }));
    return () => { left = true; };
  }, [file]);
  if (!file) return html`<${Empty} icon="warn" title="There is no such page" action=${html`<a class="button" href="#/">To the overview</a>`}>It may belong to an application that is not installed here.<//>`;
  if (area && area.for !== "all" && !who.user) return html`<h1 class="hidden">${title}</h1><${Empty} icon="lock" title="Sign in to see this" action=${html`<a class="button main" href=${`#/sign-in?to=${encodeURIComponent(location.hash.slice(1))}`}>Sign in</a>`}>What you may see follows your account.<//>`;
  if (area && area.for === "admin" && who.needsCode) return html`<h1 class="hidden">${title}</h1><${Empty} icon="lock" title="Confirm with your second factor" action=${html`<a class="button main" href="#/sign-in">Enter the code</a>`}>Administrators with a second factor use it before they may do more.<//>`;
  if (area && area.for === "admin" && !who.admin) return html`<h1 class="hidden">${title}</h1><${Empty} icon="lock" title="This is for administrators">An administrator can give you that role under Users; the first one is made with <code>headgate admin create EMAIL</code>.<//>`;
  if (!module || module.file !== file) return html`<div aria-busy="true"></div>`;
  if (module.error) return html`<${Failure} error=${{ code: "PAGE", message: module.error.message }} retry=${() => location.reload()} />`;
  const key = area ? area.name : [at.app, at.page, ...at.rest].join("/");
  return html`<${Guard} at=${key}><${module.View} key=${key} rest=${area ? at.parts : at.rest} query=${at.query} base=${`#/${area ? area.name : app.name}`} manifest=${manifest} who=${who} /><//>`;
}

function Shell({ manifest }) {
  const [at, go] = useState(where());
  const [open, setOpen] = useState(false);
  const [finding, find] = useState(false);
  const who = useWho();
  const main = useRef(null);
  const key = [at.app, ...at.parts].join("/");
  useEffect(() => { const on = () => { go(where()); setOpen(false); }; addEventListener("hashchange", on); return () => removeEventListener("hashchange", on); }, []);
  useEffect(() => { scrollTo(0, 0); }, [key]);
  useEffect(() => {
    const on = (e) => {
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") { e.preventDefault(); find(true); }
      if (e.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
        const box = main.current.querySelector("input[type=search]");
        if (box) { e.preventDefault(); box.focus(); }
      }
      if (e.key === "Escape") setOpen(false);
    };
    addEventListener("keydown", on);
    return () => removeEventListener("keydown", on);
  }, []);
  const skip = (e) => { e.preventDefault(); main.current.focus(); };
  useEffect(() => { if (who.recovering) location.hash = "#/account"; }, [who.recovering]);
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to the page</a><div class="frame">
    <header class="phone-bar"><a class="brand" href="#/"><img src="static/icon.svg" alt="" width="24" height="24" />Headgate</a>
      <button class="icon" type="button" aria-label=${open ? "Close the menu" : "Open the menu"} aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${open ? ICONS.close : ICONS.menu}</button></header>
    <aside aria-label="Console" class=${`side ${open ? "open" : ""}`}><div class="side-head"><a class="brand" href="#/"><img src="static/icon.svg" alt="" width="24" height="24" />Headgate</a>
        ${open ? html`<button class="icon" type="button" aria-label="Close" onClick=${() => setOpen(false)}>${ICONS.close}</button>` : null}</div>
      <button class="find" type="button" onClick=${() => find(true)}>Go to<kbd>Ctrl K</kbd></button>
      <${Nav} manifest=${manifest} who=${who} at=${at} />
      <div class="live-line"><${LiveDot} /></div>
      <div class="side-foot"><${Account} who=${who} /><${Theme} /></div></aside>
    <main class="page" id="main" ref=${main} tabindex="-1"><${Page} manifest=${manifest} at=${at} who=${who} /></main></div>
    ${finding && html`<${Palette} manifest=${manifest} who=${who} onClose=${() => find(false)} />`}`;
}

async function start() {
  const root = document.getElementById("app");
  try {
    const manifest = await (await fetch("manifest.json")).json();
    configure(manifest.key);
    await begin(manifest.key);
    root.replaceChildren();
    render(html`<${Shell} manifest=${manifest} />`, root);
  } catch (error) {
    render(html`<main class="page"><${Failure} error=${{ code: "UNREACHABLE", message: error.message }} retry=${() => location.reload()} /></main>`, root);
  }
}

start();
