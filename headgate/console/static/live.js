// Runs as they move, by the change feed: what row-level security lets this account see of control.runs, and no more.
import { useEffect, useRef, useState } from "./names.js";
import { client } from "./client.js";

export const TONES = { succeeded: "good", running: "run", failed: "bad", abandoned: "bad", held: "warn", deferred: "warn" };
export const every = (live) => (live ? 15000 : 2000); // ms between readings: where changes arrive, polling is for the rest
const TRIES = 3;      // joins that may fail before polling alone serves
const LINGER_MS = 4000; // how long a run that has just ended stays among those in progress
const QUIET_MS = 1000;  // between two readings that changes ask for
const DRAW_MS = 100;    // between two pictures, however many changes arrive
const state = { channel: null, on: false, heard: false, failures: 0 };
const watchers = new Set();

const tell = (row) => { for (const watcher of watchers) watcher(row); };

function join() {
  if (state.channel || state.failures >= TRIES) return;
  const table = { schema: "control", table: "runs" };
  const changed = ({ new: row }) => { state.heard = true; tell(row); };
  const channel = client.channel("console:runs").on("postgres_changes", { event: "INSERT", ...table }, changed).on("postgres_changes", { event: "UPDATE", ...table }, changed);
  state.channel = channel;
  channel.subscribe((status) => {
    if (state.channel !== channel) return;
    state.on = status === "SUBSCRIBED";
    state.failures = state.on ? 0 : state.failures + 1;
    if (state.failures >= TRIES && !state.heard) leave();  // no realtime here: supabase-js would try for ever
    tell(null);
  });
}

function leave() {
  const { channel } = state;
  Object.assign(state, { channel: null, on: false });
  if (channel) client.removeChannel(channel);
}

/** A row as the feed has it, with what the view adds. */
function shown(row) {
  const left = row.state === "running" && row.rate > 0 && row.expected > row.seen;
  return { ...row, eta_s: left ? (row.expected - row.seen) / row.rate : null };
}

/**
 * Runs that moved since the page was opened, by id, and whether changes arrive (so that polling may rest). `reload` is
 * called when what is not in a run may have changed too: at most once a second, and when the channel comes back.
 */
export function useRuns(reload) {
  const [value, set] = useState({ rows: {}, live: state.on && state.heard });
  const latest = useRef(reload);
  latest.current = reload;
  useEffect(() => {
    let last = 0;
    let timer = 0;
    const lingering = new Set();
    const soon = () => {
      if (timer) return;
      timer = setTimeout(() => { timer = 0; last = Date.now(); latest.current(); }, Math.max(0, last + QUIET_MS - Date.now()));
    };
    let waiting = {};
    let drawn = 0;
    let drawing = 0;
    const draw = () => {
      const rows = waiting;
      [waiting, drawing, drawn] = [{}, 0, Date.now()];
      set((old) => ({ rows: { ...old.rows, ...rows }, live: state.on }));
    };
    const drop = (id) => set((old) => { const rows = { ...old.rows }; delete rows[id]; return { ...old, rows }; });
    const watcher = (row) => {
      if (row == null) {
        waiting = {};
        set({ rows: {}, live: state.on && state.heard });  // what was missed is read again
      } else {
        waiting[row.id] = shown(row);
        if (!drawing) drawing = setTimeout(draw, Math.max(0, drawn + DRAW_MS - Date.now()));
        if (row.state !== "running") {
          const id = setTimeout(() => { lingering.delete(id); drop(row.id); }, LINGER_MS);
          lingering.add(id);
        }
      }
      if (row != null || state.on) soon();
    };
    watchers.add(watcher);
    join();
    return () => {
      watchers.delete(watcher);
      clearTimeout(timer);
      clearTimeout(drawing);
      for (const id of lingering) clearTimeout(id);
      setTimeout(() => { if (!watchers.size) leave(); }, 2000);
    };
  }, []);
  return value;
}

/** `runs` as they are by now; with `more`, also those that began since, newest first. */
export function moved(runs, rows, more = false) {
  const found = runs.map((run) => (rows[run.id] ? { ...run, ...rows[run.id] } : run));
  if (!more) return found;
  const known = new Set(runs.map((run) => run.id));
  return [...Object.values(rows).filter((row) => !known.has(row.id)), ...found].sort((a, b) => b.id - a.id);
}
