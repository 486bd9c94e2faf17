-- Staging: where fetched rows wait, as they came, until one transaction promotes them.
-- Unlogged: a crash of PostgreSQL empties it, and the logged row count of each batch shows that.
create schema if not exists stage;
comment on schema stage is 'Rows as they came, between fetch and promote. Unlogged: emptied by a crash of PostgreSQL.';

create unlogged table stage.rows (
    batch_id bigint not null,
    line     bigint not null,
    doc      jsonb  not null constraint rows_are_objects check (jsonb_typeof(doc) = 'object')
);
create index rows_batch on stage.rows (batch_id);
comment on table stage.rows is
    'One row per fetched object; line is its line in the page or file. A rejected row keeps its line negated.';

create unlogged table stage.raw (
    batch_id bigint not null,
    line     bigint not null,
    raw      text   not null
);
create index raw_batch on stage.raw (batch_id);
comment on table stage.raw is 'Lines of a chunk that has a malformed line, while they are told apart.';

grant usage on schema stage to service_role;
grant select on stage.rows to service_role;
