// Reads the API: envelopes, errors as values, live refresh when a change is announced. Writes nothing to the page.
import { useCallback, useEffect, useRef, useState } from "./names.js";

let key = null;
let session = null;
let asking = null;

export function configure(publishable) {
  key = publishable;
}

export class ApiFailure extends Error {
  constructor(code, message, status, details) {
    super(message);
    this.code = code;
    this.status = status;
    this.details = details;
  }
}

/** One request. Resolves with the whole envelope; rejects with `ApiFailure`, also when the server is away. */
export async function call(path, { params, method = "GET", body, signal, user = false, again = true } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(params || {})) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const headers = {};
  if (key) headers.apikey = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (user) headers.Authorization = `Bearer ${await userToken()}`;
  let answer;
  try {
    answer = await fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiFailure("UNREACHABLE", "The server does not answer.", 0, null);
  }
  const text = await answer.text();
  let envelope = null;
  try { envelope = text ? JSON.parse(text) : null; } catch { envelope = null; }
  if (answer.ok && envelope && envelope.success) return envelope;
  if (user && again && answer.status === 401) {
    forgetUser();
    return call(path, { params, method, body, signal, user, again: false });
  }
  const error = (envelope && envelope.error) || { code: "INTERNAL_ERROR", message: `The server answered ${answer.status}.` };
  throw new ApiFailure(error.code, error.message, answer.status, error.details);
}

/** This visitor's token, asked for at the first need and kept by the browser. */
async function userToken() {
  if (!session) {
    try { session = localStorage.getItem("headgate-visitor"); } catch { session = null; }
  }
  if (!session) {
    asking ||= call("/api/session", { method: "POST" });
    try { session = (await asking).data.access_token; } finally { asking = null; }
    try { localStorage.setItem("headgate-visitor", session); } catch { /* private mode: kept until the page is left */ }
  }
  return session;
}

function forgetUser() {
  session = null;
  try { localStorage.removeItem("headgate-visitor"); } catch { /* nothing was kept */ }
}

// ---- live -----------------------------------------------------------------------------------------------------
const listeners = new Set();
const watchers = new Set();
let source = null;
const status = { on: false, beats: 0, used: false };

function announce(id) {
  status.beats += 1;
  for (const listener of listeners) listener(id);
  for (const watcher of watchers) watcher({ ...status });
}

function connect() {
  if (source) return;
  status.used = true;
  for (const w of watchers) w({ ...status });
  source = new EventSource("/api/live");
  const set = (on) => { if (status.on !== on) { status.on = on; for (const w of watchers) w({ ...status }); } };
  source.addEventListener("hello", () => { const back = status.was; status.was = true; set(true); if (back) announce(null); });
  source.addEventListener("change", (event) => { set(true); announce(JSON.parse(event.data).event_id); });
  source.addEventListener("resync", () => announce(null));
  source.onerror = () => set(false);
}

/** Pages that hear nothing hold no connection. */
function disconnect() {
  if (!source) return;
  source.close();
  source = null;
  Object.assign(status, { on: false, used: false, was: false });
  for (const w of watchers) w({ ...status });
}

// A page that the browser keeps for its back button would keep its connection too, of which an origin has six.
addEventListener("pagehide", disconnect);
addEventListener("pageshow", (event) => { if (event.persisted && listeners.size) { connect(); announce(null); } });

/** Call `listener(event_id)` at every change; with null when anything may have changed. Returns the way to stop. */
export function onChange(listener) {
  connect();
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (!listeners.size) setTimeout(() => { if (!listeners.size) disconnect(); }, 2000);
  };
}

/** Whether a page here hears of changes (`used`), whether they arrive, and how many did. */
export function useLive() {
  const [value, set] = useState({ ...status });
  useEffect(() => { watchers.add(set); set({ ...status }); return () => watchers.delete(set); }, []);
  return value;
}

// ---- reading --------------------------------------------------------------------------------------------------
/**
 * Data of one GET, refreshed when `event` changes (`"any"`: any event), at most every `quiet` ms, and every `every` ms.
 * → { data, meta, error, loading, readAt, reload }; data stays while it is read again, so nothing jumps.
 */
export function useRead(path, params, { event = null, quiet = 1500, every = 0, user = false } = {}) {
  const [value, set] = useState({ data: null, meta: null, error: null, loading: true, readAt: 0 });
  const wanted = path && path + "?" + JSON.stringify(params || {});
  const current = useRef(wanted);
  const last = useRef(0);
  const timer = useRef(0);
  const read = useCallback(async (signal) => {
    if (!path) return;
    last.current = Date.now();
    try {
      const envelope = await call(path, { params, signal, user });
      if (current.current === wanted) set({ data: envelope.data, meta: envelope.meta, error: null, loading: false, readAt: Date.now() });
    } catch (error) {
      if (error.name === "AbortError" || current.current !== wanted) return;
      set((old) => ({ ...old, error, loading: false }));
    }
  }, [wanted]);
  useEffect(() => {
    current.current = wanted;
    const stop = new AbortController();
    set((old) => ({ ...old, loading: true, error: null }));
    read(stop.signal);
    const soon = () => {
      if (timer.current) return;
      const wait = Math.max(0, last.current + quiet - Date.now());
      timer.current = setTimeout(() => { timer.current = 0; if (!document.hidden) read(stop.signal); }, wait);
    };
    const off = event == null ? null : onChange((id) => { if (id == null || event === "any" || id === event) soon(); });
    const seen = () => { if (!document.hidden && Date.now() - last.current > 30000) soon(); };
    document.addEventListener("visibilitychange", seen);
    const tick = every ? setInterval(soon, every) : 0;
    return () => {
      stop.abort();
      if (off) off();
      clearTimeout(timer.current);
      timer.current = 0;
      clearInterval(tick);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [wanted, event]);
  return { ...value, reload: () => read() };
}

/** The current second, so that ages on the page grow. */
export function useClock(ms = 1000) {
  const [now, set] = useState(Date.now());
  useEffect(() => { const id = setInterval(() => set(Date.now()), ms); return () => clearInterval(id); }, [ms]);
  return now;
}
