// The vendored script of supabase-js, which the page has loaded, as the modules that the programs import.
export const {
  createClient, FunctionsHttpError, FunctionsRelayError, RealtimePostgresFilterBuilder, postgresChangesFilter,
} = globalThis.supabase // prettier-ignore
