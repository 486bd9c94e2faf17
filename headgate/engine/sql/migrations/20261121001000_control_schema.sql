-- The schema that holds the engine's state. It is never exposed over HTTP; roles see what each table grants them.
create schema if not exists control;
comment on schema control is 'State of the engine: jobs, lanes, workers, timetables, runs. Written through functions only.';
grant usage on schema control to authenticated, service_role;
