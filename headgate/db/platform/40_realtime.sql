-- What realtime needs in the database: schema realtime, messages with their policies, the publication that decides
-- which tables tell of their changes. Hosted Supabase has its own (its role supabase_realtime_admin tells), so that
-- nothing of this runs there.

-- piece: schema realtime
-- missing: to_regnamespace('realtime') is null and to_regrole('supabase_realtime_admin') is null
do $$
declare
  owner name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
  create schema realtime;
  execute format('alter schema realtime owner to %I', owner);
  grant usage on schema realtime to anon, authenticated, service_role;
end $$;

-- piece: publication supabase_realtime
-- missing: not exists (select from pg_publication where pubname = 'supabase_realtime') and to_regrole('supabase_realtime_admin') is null
do $$
declare
  owner name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
  set local client_min_messages = error;  -- wal_level may be too low for slots; then triggers serve instead
  create publication supabase_realtime;
  execute format('alter publication supabase_realtime owner to %I', owner);
end $$;

-- piece: function realtime.topic
-- missing: to_regprocedure('realtime.topic()') is null and to_regrole('supabase_realtime_admin') is null
create function realtime.topic() returns text language sql stable as $$
  select nullif(current_setting('realtime.topic', true), '')
$$;
comment on function realtime.topic() is 'The channel that a policy on realtime.messages is asked about.';
do $$
begin
  execute format('alter function realtime.topic() owner to %I',
    (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;

-- piece: table realtime.messages
-- missing: to_regclass('realtime.messages') is null and to_regrole('supabase_realtime_admin') is null
create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp not null default (now() at time zone 'utc'),
  inserted_at timestamp not null default (now() at time zone 'utc'),
  id uuid not null default gen_random_uuid() primary key,
  binary_payload bytea,
  expires_at timestamptz
);
comment on table realtime.messages is
  'Broadcasts from the database, and kept ones. Policies: insert = may send, select = may receive.';
create index messages_topic on realtime.messages (topic, inserted_at desc) where private and extension = 'broadcast';
create index messages_age on realtime.messages (inserted_at);
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;
do $$
begin
  execute format('alter table realtime.messages owner to %I',
    (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;

-- piece: table realtime.relay
-- missing: to_regclass('realtime.relay') is null and to_regrole('supabase_realtime_admin') is null
create unlogged table realtime.relay (
  id bigint generated always as identity primary key,
  body text not null,
  told_at timestamptz not null default now()
);
comment on table realtime.relay is 'What one server process tells the others and is too long for a NOTIFY.';
alter table realtime.relay enable row level security;
do $$
begin
  execute format('alter table realtime.relay owner to %I',
    (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;

-- piece: function realtime.tell_message
-- missing: to_regprocedure('realtime.tell_message()') is null and to_regrole('supabase_realtime_admin') is null
create function realtime.tell_message() returns trigger language plpgsql set search_path = '' as $$
declare
  told text;
begin
  if pg_catalog.current_setting('headgate.told', true) = 'on' then
    return null;  -- the process that keeps the message has handed it on itself
  end if;
  told := pg_catalog.json_build_object('kind', 'message', 'id', new.id, 'topic', new.topic, 'event', new.event,
    'private', new.private, 'payload', new.payload)::text;
  if new.binary_payload is not null or pg_catalog.octet_length(told) > 7500 then
    told := pg_catalog.json_build_object('kind', 'message', 'id', new.id)::text;
  end if;
  perform pg_catalog.pg_notify('headgate_realtime', told);
  return null;
end $$;
comment on function realtime.tell_message() is 'Hands a message of extension broadcast to every server process.';
revoke all on function realtime.tell_message() from public;
create trigger headgate_tell after insert on realtime.messages for each row
  when (new.extension = 'broadcast' and new.event is not null) execute function realtime.tell_message();
do $$
begin
  execute format('alter function realtime.tell_message() owner to %I',
    (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;

-- piece: function realtime.send
-- missing: to_regprocedure('realtime.send(jsonb, text, text, boolean)') is null and to_regrole('supabase_realtime_admin') is null
create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.set_config('realtime.topic', topic, true);
  insert into realtime.messages (payload, event, topic, private, extension)
    values (payload, event, topic, private, 'broadcast');
exception when others then
  raise warning 'realtime.send: the message to % was not sent: %', topic, sqlerrm;  -- the caller's write goes on
end $$;
comment on function realtime.send is 'Send a broadcast to the subscribers of a channel when the transaction commits.';
do $$
begin
  execute format('alter function realtime.send(jsonb, text, text, boolean) owner to %I',
    (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;

-- piece: function realtime.broadcast_changes
-- missing: to_regprocedure('realtime.broadcast_changes(text, text, text, text, text, record, record, text)') is null and to_regrole('supabase_realtime_admin') is null
create function realtime.broadcast_changes(topic_name text, event_name text, operation text, table_name text,
  table_schema text, new record, old record, level text default 'ROW') returns void
language plpgsql set search_path = '' as $$
begin
  if level = 'STATEMENT' then
    raise exception 'realtime.broadcast_changes is for row-level triggers' using errcode = '22023';
  end if;
  perform realtime.send(pg_catalog.jsonb_build_object('operation', operation, 'schema', table_schema,
    'table', table_name, 'record', pg_catalog.to_jsonb(new), 'old_record', pg_catalog.to_jsonb(old)),
    event_name, topic_name);
end $$;
comment on function realtime.broadcast_changes is 'For row triggers: broadcast what changed to a private channel.';
do $$
begin
  execute format('alter function realtime.broadcast_changes(text, text, text, text, text, record, record, text) owner to %I',
    (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;

-- piece: table realtime.outbox
-- missing: to_regclass('realtime.outbox') is null and to_regrole('supabase_realtime_admin') is null
create table realtime.outbox (
  xid xid8 not null default pg_current_xact_id(),
  id bigint generated always as identity,
  relation oid not null,
  kind "char" not null,
  keys json not null,
  noted_at timestamptz not null default now(),
  primary key (xid, id)
);
comment on table realtime.outbox is 'Keys of changed rows, one row a statement, where no replication slot is allowed.';
-- Written once and read once, so neither parsed nor compressed: both together cost more than all else the trigger does.
alter table realtime.outbox alter column keys set storage external;
alter table realtime.outbox enable row level security;
do $$
begin
  execute format('alter table realtime.outbox owner to %I',
    (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;

-- piece: columns of realtime.outbox for keys of one integer or uuid
-- missing: to_regclass('realtime.outbox') is not null and to_regrole('supabase_realtime_admin') is null and not exists (select from pg_attribute where attrelid = to_regclass('realtime.outbox') and attname = 'numbers')
-- An array of the key's own values is put together and read at a fraction of the cost of their texts.
alter table realtime.outbox add numbers bigint[], add uuids uuid[];
alter table realtime.outbox alter keys drop not null, alter numbers set storage external, alter uuids set storage external;
comment on column realtime.outbox.keys is 'Keys of any other shape: a list of texts for each key column.';

-- piece: function realtime.note_keys
-- missing: to_regprocedure('realtime.note_keys()') is null and to_regrole('supabase_realtime_admin') is null
create function realtime.note_keys() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  noted bigint;
begin
  -- The trigger's arguments: the column for these keys, and their aggregate, quoted when the trigger was made.
  execute pg_catalog.format(
    'insert into realtime.outbox (relation, kind, %I) select $1, $2, %s from changed having pg_catalog.count(*) > 0',
    tg_argv[0], tg_argv[1]) using tg_relid, pg_catalog.left(tg_op, 1)::"char";
  get diagnostics noted = row_count;
  if noted > 0 then
    perform pg_catalog.pg_notify('headgate_outbox', '');
  end if;
  return null;
end $$;
comment on function realtime.note_keys() is 'Notes the keys that a statement changed.';
revoke all on function realtime.note_keys() from public;
do $$
begin
  execute format('alter function realtime.note_keys() owner to %I',
    (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
end $$;
