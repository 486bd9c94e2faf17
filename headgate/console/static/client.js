// The one supabase-js client: who is signed in, questions to the surface, and their answers as values that refresh.
import { useCallback, useEffect, useRef, useState } from "./names.js";

export let client = null;
export let settings = {};
let unlisten = [];
const state = { session: null, user: null, admin: false, needsCode: false, recovering: false };

/** What the surface answered in place of data. `code` is its own: PGRSTxxx, SQLSTATE, an auth error code, or UNREACHABLE. */
export class SurfaceError extends Error {
  constructor(error) {
    const away = /failed to fetch|networkerror|load failed/i.test(error.message || "");
    super(away ? "The server does not answer." : error.message || "Something went wrong.");
    this.code = away ? "UNREACHABLE" : error.code || error.error_code || error.name || String(error.status || "");
    this.hint = error.hint || "";
    this.details = error.details || "";
  }
}

/** The data of a supabase-js answer; rejects with `SurfaceError`. */
export async function ask(asked) {
  let answer;
  try { answer = await asked; } catch (error) { throw new SurfaceError(error); }
  if (answer.error) throw new SurfaceError(answer.error);
  return answer.count == null ? answer.data : Object.assign(answer.data || [], { total: answer.count });
}

/** A function of the console's schema. */
export const rpc = (name, args = {}) => ask(client.schema("console").rpc(name, args));

/** A view of the console's schema. */
export const view = (name) => client.schema("console").from(name);

/** What a letter's link or a provider sent the browser back with in place of a session; "" for nothing. */
export const arrival = { error: "" };

function arrive() {
  const sent = [location.search, location.hash.startsWith("#/") ? "" : location.hash].map((part) => new URLSearchParams(part.slice(1)));
  arrival.error = sent.map((part) => part.get("error_description") || part.get("error")).find(Boolean) || "";
  if (arrival.error) sendBack(arrival.error);
}

function sendBack(error) {
  arrival.error = error;
  history.replaceState(null, "", `${location.pathname}#/sign-in`);
}

/** Make the client and find out who is signed in. Resolves once both are known, so that the first picture is right. */
export async function begin(key) {
  arrive();
  const bare = (input, init = {}) => {
    const headers = new Headers(init.headers);
    headers.delete("apikey");
    if ((headers.get("authorization") || "").endsWith(" none")) headers.delete("authorization");
    return fetch(input, { ...init, headers });
  };
  client = window.supabase.createClient(location.origin, key || "none", {
    auth: { flowType: "pkce", storageKey: "headgate-session" },
    global: key ? {} : { fetch: bare },
  });
  client.auth.onAuthStateChange((event, session) => {
    if (event === "PASSWORD_RECOVERY") state.recovering = true;
    if (event !== "INITIAL_SESSION") setTimeout(() => settle(session), 0);
  });
  const { data } = await client.auth.getSession();
  if (!data.session && new URLSearchParams(location.search).has("code")) sendBack("That link works in the browser that asked for it. Sign in here, or ask for another link.");
  await settle(data.session);
}

/** Rights follow the database's answer; without one, the account's claim decides what is offered, never what is allowed. */
async function settle(session) {
  const same = session && state.session && session.access_token === state.session.access_token;
  state.session = session;
  state.user = session ? session.user : null;
  state.needsCode = false;
  if (!session) state.admin = false;
  else if (!same) {
    try {
      state.admin = (await rpc("whoami")).admin;
      state.needsCode = needsCode(session);
    } catch {
      state.admin = (session.user.app_metadata || {}).headgate_role === "admin";
    }
  } else state.needsCode = needsCode(session);
  for (const listener of unlisten) listener({ ...state });
}

/** A second factor is set up and this session has not used it yet. */
function needsCode(session) {
  const verified = (session.user.factors || []).some((f) => f.status === "verified");
  return verified && claims(session).aal !== "aal2";
}

export function claims(session) {
  try { return JSON.parse(atob(session.access_token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))); } catch { return {}; }
}

/** Who is here: {session, user, admin, needsCode, recovering}. */
export function useWho() {
  const [who, set] = useState({ ...state });
  useEffect(() => { unlisten.push(set); set({ ...state }); return () => { unlisten = unlisten.filter((l) => l !== set); }; }, []);
  return who;
}

export function recovered() {
  state.recovering = false;
  for (const listener of unlisten) listener({ ...state });
}

/** What sign-in offers, as `/auth/v1/settings` says; null while unknown, {} without an auth service. */
export function useAuthSettings() {
  const [value, set] = useState(null);
  useEffect(() => {
    fetch("/auth/v1/settings", { headers: client.supabaseKey === "none" ? {} : { apikey: client.supabaseKey } })
      .then((r) => (r.ok ? r.json() : {})).then(set, () => set({}));
  }, []);
  return value;
}

/**
 * The value of `question()`, asked again when `key` changes and every `every` ms while the page is seen.
 * → { data, error, loading, reload }; data stays while it is asked again, so that nothing jumps. A null key asks nothing.
 */
export function useAsk(key, question, { every = 0 } = {}) {
  const [value, set] = useState({ data: null, error: null, loading: true });
  const current = useRef(key);
  const latest = useRef(question);
  latest.current = question;
  current.current = key;
  const read = useCallback(async () => {
    if (key == null) return;
    try {
      const data = await latest.current();
      if (current.current === key) set({ data, error: null, loading: false });
    } catch (error) {
      if (current.current === key) set((old) => ({ ...old, error: error instanceof SurfaceError ? error : new SurfaceError(error), loading: false }));
    }
  }, [key]);
  useEffect(() => {
    set((old) => ({ ...old, loading: true, error: null }));
    let stopped = false;
    let timer = 0;
    const turn = async () => {
      if (!document.hidden || !every) await read();
      if (!stopped && every) timer = setTimeout(turn, every);
    };
    turn();
    return () => { stopped = true; clearTimeout(timer); };
  }, [key, every]);
  return { ...value, reload: read };
}
