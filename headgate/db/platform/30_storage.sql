-- Buckets and objects as hosted Supabase has them, and what our own storage service keeps beside them. A database whose
-- storage belongs to Supabase (it has storage.migrations) gets nothing of the second part.

-- piece: schema storage
-- missing: to_regnamespace('storage') is null
create schema storage;
grant usage on schema storage to anon, authenticated, service_role;
comment on schema storage is 'Buckets and objects. Policies on storage.objects decide who may do what.';

-- piece: type storage.buckettype
-- missing: to_regtype('storage.buckettype') is null
create type storage.buckettype as enum ('STANDARD', 'ANALYTICS', 'VECTOR');

-- piece: table storage.buckets
-- missing: to_regclass('storage.buckets') is null
create table storage.buckets (
  id text primary key,
  name text not null,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  owner_id text,
  type storage.buckettype not null default 'STANDARD'
);
create unique index bname on storage.buckets (name);
alter table storage.buckets enable row level security;
grant all on storage.buckets to anon, authenticated, service_role;
comment on table storage.buckets is 'Buckets with their limits: bytes per object, and the types of content allowed.';

-- piece: table storage.objects
-- missing: to_regclass('storage.objects') is null
create table storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text constraint "objects_bucketId_fkey" references storage.buckets (id),
  name text,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now(),
  metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  version text,
  owner_id text,
  user_metadata jsonb
);
create unique index bucketid_objname on storage.objects (bucket_id, name);
create index name_prefix_search on storage.objects (name text_pattern_ops);
create index idx_objects_bucket_id_name on storage.objects (bucket_id, name collate "C");
alter table storage.objects enable row level security;
grant all on storage.objects to anon, authenticated, service_role;
comment on table storage.objects is 'One row per object; `version` names its bytes. Row-level security decides every access.';
comment on column storage.objects.owner is 'Deprecated, use owner_id instead.';

-- piece: tables of multipart uploads
-- missing: to_regclass('storage.s3_multipart_uploads') is null
create table storage.s3_multipart_uploads (
  id text primary key,
  in_progress_size bigint not null default 0,
  upload_signature text not null,
  bucket_id text not null references storage.buckets (id),
  key text not null collate "C",
  version text not null,
  owner_id text,
  created_at timestamptz not null default now(),
  user_metadata jsonb
);
create index idx_multipart_uploads_list on storage.s3_multipart_uploads (bucket_id, key, created_at);
create table storage.s3_multipart_uploads_parts (
  id uuid primary key default gen_random_uuid(),
  upload_id text not null references storage.s3_multipart_uploads (id) on delete cascade,
  size bigint not null default 0,
  part_number integer not null,
  bucket_id text not null references storage.buckets (id),
  key text not null collate "C",
  etag text not null,
  owner_id text,
  version text not null,
  created_at timestamptz not null default now()
);
alter table storage.s3_multipart_uploads enable row level security;
alter table storage.s3_multipart_uploads_parts enable row level security;
grant all on storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts to service_role;
grant select on storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts to anon, authenticated;

-- piece: function storage.foldername
-- missing: to_regprocedure('storage.foldername(text)') is null
create function storage.foldername(name text) returns text[] language sql immutable as $$
  select (string_to_array(name, '/'))[1 : cardinality(string_to_array(name, '/')) - 1]
$$;
comment on function storage.foldername(text) is 'The folders of an object''s name, outermost first.';

-- piece: function storage.filename
-- missing: to_regprocedure('storage.filename(text)') is null
create function storage.filename(name text) returns text language sql immutable as $$
  select (string_to_array(name, '/'))[cardinality(string_to_array(name, '/'))]
$$;
comment on function storage.filename(text) is 'The last part of an object''s name.';

-- piece: function storage.extension
-- missing: to_regprocedure('storage.extension(text)') is null
create function storage.extension(name text) returns text language sql immutable as $$
  select case when f ~ '\.' then substring(f from '[^.]*$') else '' end
    from (select (string_to_array(name, '/'))[cardinality(string_to_array(name, '/'))]) as last (f)
$$;
comment on function storage.extension(text) is 'What stands after the last dot of an object''s file name.';

-- piece: function storage.operation
-- missing: to_regprocedure('storage.operation()') is null
create function storage.operation() returns text language sql stable as $$
  select current_setting('storage.operation', true)
$$;
comment on function storage.operation() is 'What the storage service is doing, such as storage.object.upload.';

-- piece: function storage.allow_only_operation
-- missing: to_regprocedure('storage.allow_only_operation(text)') is null
create function storage.allow_only_operation(expected_operation text) returns boolean language sql stable as $$
  select nullif(expected_operation, '') is not null
     and storage.operation() in (expected_operation, 'storage.' || expected_operation)
$$;
comment on function storage.allow_only_operation(text) is 'For policies: whether the storage service does just this.';

-- piece: function storage.allow_any_operation
-- missing: to_regprocedure('storage.allow_any_operation(text[])') is null
create function storage.allow_any_operation(expected_operations text[]) returns boolean language sql stable as $$
  select coalesce(bool_or(storage.allow_only_operation(one)), false) from unnest(expected_operations) one
$$;
comment on function storage.allow_any_operation(text[]) is 'For policies: whether the storage service does one of these.';

-- piece: function storage.search
-- missing: not exists (select from pg_proc where pronamespace = to_regnamespace('storage') and proname = 'search')
create function storage.search(
  prefix text, bucketname text, limits integer default 100, levels integer default 1, offsets integer default 0,
  search text default '', sortcolumn text default 'name', sortorder text default 'asc'
) returns table (
  name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb
) language sql stable as $$
  with found as (
    select o.path_tokens[levels] as entry, cardinality(o.path_tokens) > levels as is_folder, o.*
      from storage.objects o
     where o.bucket_id = bucketname
       and o.name collate "C" >= prefix and o.name collate "C" < prefix || U&'\+10FFFF'
       and cardinality(o.path_tokens) >= levels
       and starts_with(lower(o.path_tokens[levels]), lower(search))
  ), entries as (
    select f.entry, null::uuid as id, null::timestamptz as updated_at, null::timestamptz as created_at,
           null::timestamptz as last_accessed_at, null::jsonb as metadata, true as is_folder
      from found f where f.is_folder group by f.entry
    union all
    select f.entry, f.id, f.updated_at, f.created_at, f.last_accessed_at, f.metadata, false
      from found f where not f.is_folder
  )
  select e.entry, e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata
    from entries e
   order by e.is_folder desc,
    case when sortorder = 'asc' then case sortcolumn when 'updated_at' then e.updated_at when 'created_at' then e.created_at
      when 'last_accessed_at' then e.last_accessed_at end end asc,
    case when sortorder <> 'asc' then case sortcolumn when 'updated_at' then e.updated_at when 'created_at' then e.created_at
      when 'last_accessed_at' then e.last_accessed_at end end desc,
    case when sortorder <> 'asc' and (sortcolumn = 'name' or e.is_folder) then e.entry end collate "C" desc,
    e.entry collate "C" asc
   limit limits offset offsets
$$;
comment on function storage.search is 'Folders, then objects, right below a prefix of `levels` - 1 folders, as the caller may see them.';

-- piece: function storage.update_updated_at_column
-- missing: to_regprocedure('storage.update_updated_at_column()') is null
create function storage.update_updated_at_column() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end $$;

-- piece: trigger storage.update_objects_updated_at
-- missing: not exists (select from pg_trigger where tgrelid = 'storage.objects'::regclass and tgname = 'update_objects_updated_at')
create trigger update_objects_updated_at before update on storage.objects
  for each row execute function storage.update_updated_at_column();

-- piece: schema storage_internal
-- missing: to_regclass('storage.migrations') is null and to_regnamespace('storage_internal') is null
create schema storage_internal;
comment on schema storage_internal is 'What our storage service keeps for itself: bytes on their way in or out. Clients never see it.';
-- A version belongs to one object, so that removing its bytes takes nothing from another.
create unique index objects_version on storage.objects (version collate "C");
create table storage_internal.writes (
  version text collate "C" primary key,
  started_at timestamptz not null default now()
);
create index writes_started_at on storage_internal.writes (started_at);
comment on table storage_internal.writes is 'Versions whose bytes are being written; the transaction that commits the object''s row takes its line away.';
create table storage_internal.removals (
  version text collate "C" primary key,
  asked_at timestamptz not null default now()
);
comment on table storage_internal.removals is 'Versions that no object names any more and whose bytes are to be removed.';
create table storage_internal.uploads (
  id text primary key,
  bucket_id text not null,
  name text not null,
  role text not null,
  owner_id text,
  is_signed boolean not null,
  is_upsert boolean not null,
  length_bytes bigint,
  offset_bytes bigint not null default 0,
  metadata jsonb not null,
  user_metadata jsonb,
  object_id uuid,
  expires_at timestamptz not null,
  created_at timestamptz not null default now()
);
create index uploads_expires_at on storage_internal.uploads (expires_at);
comment on table storage_internal.uploads is 'Resumable uploads: how far each got. object_id is set when it became an object.';
alter table storage_internal.writes enable row level security;
alter table storage_internal.removals enable row level security;
alter table storage_internal.uploads enable row level security;

-- piece: function storage_internal.note_removal
-- missing: to_regnamespace('storage_internal') is not null and to_regprocedure('storage_internal.note_removal()') is null
create function storage_internal.note_removal() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  insert into storage_internal.removals (version) values (old.version) on conflict do nothing;
  return null;
end $$;
revoke all on function storage_internal.note_removal() from public;
comment on function storage_internal.note_removal() is 'In the transaction that deletes or replaces an object, notes that its bytes are to be removed.';
create trigger headgate_deleted after delete on storage.objects for each row
  when (old.version is not null) execute function storage_internal.note_removal();
create trigger headgate_replaced after update of version on storage.objects for each row
  when (old.version is not null and old.version is distinct from new.version)
  execute function storage_internal.note_removal();

-- piece: ownership of storage
-- missing: to_regnamespace('storage_internal') is not null and exists (select from pg_class c, pg_database d where d.datname = current_database() and c.relnamespace in (to_regnamespace('storage'), to_regnamespace('storage_internal')) and c.relkind = 'r' and c.relowner <> d.datdba) and pg_has_role((select datdba from pg_database where datname = current_database()), 'member')
do $$
declare
  owner name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
  one record;
begin
  -- The service works as the owner of the database, and for a caller in the caller's role.
  for one in select format('table %s', c.oid::regclass) as what from pg_class c
              where c.relnamespace in (to_regnamespace('storage'), to_regnamespace('storage_internal')) and c.relkind = 'r'
       union all select format('function %s', p.oid::regprocedure) from pg_proc p
              where p.pronamespace in (to_regnamespace('storage'), to_regnamespace('storage_internal'))
       union all select 'type storage.buckettype'
       union all select format('schema %I', n.nspname) from pg_namespace n where n.nspname in ('storage', 'storage_internal')
  loop
    execute format('alter %s owner to %I', one.what, owner);
  end loop;
end $$;
