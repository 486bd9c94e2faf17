// The realtime inspector: join a channel as oneself, see what comes, send, be present, listen to changes of a table.
import { html, useEffect, useRef, useState } from "../names.js";
import { client } from "../client.js";
import { Badge, Empty } from "../ui.js";
import { act, Code, Wrong } from "../widgets.js";
import { count, when } from "../format.js";

const KEPT = 200;

export default function Realtime({ who }) {
  const [channel, setChannel] = useState(null);
  const [events, setEvents] = useState([]);
  const [people, setPeople] = useState({});
  const [state, setState] = useState("left");
  const [error, setError] = useState(null);
  const [open, setOpen] = useState(null);
  const number = useRef(0);
  const log = (kind, name, payload) => setEvents((old) => [{ id: number.current += 1, at: new Date().toISOString(), kind, name, payload }, ...old].slice(0, KEPT));
  useEffect(() => () => { if (channel) client.removeChannel(channel); }, [channel]);

  const join = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    if (channel) await client.removeChannel(channel);
    setError(null);
    setPeople({});
    setState("joining");
    const made = client.channel(form.get("topic").trim(), { config: { private: form.get("private") === "on", broadcast: { self: true, ack: true }, presence: { key: who.user.email || who.user.id } } });
    made.on("broadcast", { event: "*" }, (m) => log("broadcast", m.event, m.payload));
    made.on("presence", { event: "sync" }, () => setPeople({ ...made.presenceState() }));
    made.on("presence", { event: "join" }, ({ key, newPresences }) => log("presence", "join", { key, newPresences }));
    made.on("presence", { event: "leave" }, ({ key, leftPresences }) => log("presence", "leave", { key, leftPresences }));
    made.on("system", {}, (m) => log("system", m.extension || "system", m));
    const table = form.get("table").trim();
    if (table) {
      const [schema, name] = table.includes(".") ? table.split(".") : ["public", table];
      made.on("postgres_changes", { event: form.get("event"), schema, ...(name !== "*" && { table: name }), ...(form.get("filter").trim() && { filter: form.get("filter").trim() }) }, (m) => log("change", m.eventType, m));
    }
    made.subscribe((status, failure) => {
      setState({ SUBSCRIBED: "joined", CHANNEL_ERROR: "refused", TIMED_OUT: "timed out", CLOSED: "left" }[status] || status);
      if (failure) setError({ message: failure.message });
      log("status", status.toLowerCase().replace("_", " "), failure ? { reason: failure.message } : null);
    });
    setChannel(made);
  };
  const leave = async () => { await client.removeChannel(channel); setChannel(null); setState("left"); setPeople({}); };
  const send = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    let payload;
    try { payload = JSON.parse(form.get("payload") || "{}"); } catch { setError({ message: "The payload is not JSON." }); return; }
    setError(null);
    const answer = await channel.send({ type: "broadcast", event: form.get("event"), payload });
    if (answer !== "ok") setError({ message: `The message was not taken: ${answer}.` });
  };
  const joined = state === "joined";
  return html`<div class="head"><div><h1>Realtime</h1><p>Channels as your account sees them; nothing is kept.</p></div><span role="status"><${Badge} tone=${joined ? "good" : ["refused", "timed out"].includes(state) ? "bad" : ""}>${state}<//></span></div>
    <div class="cols"><section class="card flush"><div class="card-head"><h2>Events</h2><button class="button" type="button" disabled=${!events.length} onClick=${() => { setEvents([]); setOpen(null); }}>Clear</button></div>
      <div class="fixed" style=${{ height: "560px", padding: "0 24px 16px" }} tabindex="0" role="log" aria-label="Events of the channel">${events.length ? events.map((e) => html`<div class="event-line" key=${e.id}><span class="quiet">${when(e.at, null, "minute")}</span><span><${Badge} tone=${{ change: "good", broadcast: "run", status: "", presence: "warn" }[e.kind]}>${e.kind}<//></span>
        <span><button class="button plain small" type="button" style=${{ padding: "0 4px" }} onClick=${() => setOpen(open === e.id ? null : e.id)}>${e.name}</button>${open === e.id ? html`<${Code} label="Event" text=${JSON.stringify(e.payload, null, 2)} />` : html`<code class="quiet">${e.payload == null ? "" : JSON.stringify(e.payload).slice(0, 110)}</code>`}</span></div>`)
        : html`<${Empty} icon="bolt" title="Nothing has come yet">Join a channel; in a second window, join the same one and send something.<//>`}</div></section>
    <div class="stack"><section class="card"><div class="card-head"><h2>Channel</h2></div><form class="form" onSubmit=${join}><${Wrong} error=${error} />
        <label class="field">Name<input class="input" name="topic" required defaultValue="room" /></label><label class="row small"><input type="checkbox" name="private" />Private: policies on realtime.messages decide</label>
        <label class="field">Changes of a table<input class="input" name="table" placeholder="public.events, or empty" /></label>
        <div class="row" style=${{ flexWrap: "nowrap" }}><label class="field">Change<select class="input" name="event"><option>*</option><option>INSERT</option><option>UPDATE</option><option>DELETE</option></select></label><label class="field" style=${{ flex: 1 }}>Filter<input class="input" name="filter" placeholder="id=eq.1" /></label></div>
        <div class="row"><button class="button main">${channel ? "Join again" : "Join"}</button>${channel && html`<button class="button" type="button" onClick=${leave}>Leave</button>`}</div></form></section>
      <section class="card"><div class="card-head"><h2>Broadcast</h2></div><form class="form" onSubmit=${send}><label class="field">Event<input class="input" name="event" required defaultValue="message" /></label><label class="field">Payload, JSON<textarea class="input" name="payload" style=${{ minHeight: "70px" }} defaultValue=${`{"text": "hello"}`}></textarea></label><button class="button" disabled=${!joined}>Send</button></form></section>
      <section class="card"><div class="card-head"><h2>Present <span class="quiet">${count(Object.keys(people).length)}</span></h2></div><ul style=${{ minHeight: "40px" }}>${Object.entries(people).map(([key, metas]) => html`<li class="line" key=${key}>${key}<span class="sub">${metas.length > 1 ? `${metas.length} times` : "once"}</span></li>`)}</ul>
        <div class="row"><button class="button" type="button" disabled=${!joined} onClick=${() => act(() => channel.track({ since: new Date().toISOString() }))}>Be present</button><button class="button" type="button" disabled=${!joined} onClick=${() => act(() => channel.untrack())}>Leave presence</button></div></section></div></div>`;
}
