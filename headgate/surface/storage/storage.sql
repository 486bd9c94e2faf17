-- Queries of the storage service. Those named own_… run as the owner of the database, all others in the caller's role.

-- name: own_bucket
select id, name, public, file_size_limit, allowed_mime_types from storage.buckets where id = %(id)s

-- name: own_kind
select to_regclass('storage_internal.writes') is not null as ours

-- name: bucket
select id, name, owner, owner_id, public, created_at, updated_at, file_size_limit, allowed_mime_types, type::text
  from storage.buckets where id = %(id)s

-- name: buckets
select id, name, owner, owner_id, public, created_at, updated_at, file_size_limit, allowed_mime_types, type::text
  from storage.buckets
 where %(search)s::text is null or position(lower(%(search)s) in lower(name)) > 0
 order by case when %(descending)s then null else
   case %(column)s when 'created_at' then to_char(created_at at time zone 'UTC', 'YYYYMMDDHH24MISSUS')
     when 'updated_at' then to_char(updated_at at time zone 'UTC', 'YYYYMMDDHH24MISSUS')
     when 'name' then name else id end end collate "C",
   case when %(descending)s then
   case %(column)s when 'created_at' then to_char(created_at at time zone 'UTC', 'YYYYMMDDHH24MISSUS')
     when 'updated_at' then to_char(updated_at at time zone 'UTC', 'YYYYMMDDHH24MISSUS')
     when 'name' then name else id end end collate "C" desc
 limit %(limit)s offset %(offset)s

-- name: create_bucket
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types, owner, owner_id)
values (%(id)s, %(name)s, %(public)s, %(file_size_limit)s, %(allowed_mime_types)s, %(owner)s, %(owner_id)s)

-- name: update_bucket
update storage.buckets
   set public = coalesce(%(public)s, public),
       file_size_limit = case when %(has_limit)s then %(file_size_limit)s else file_size_limit end,
       allowed_mime_types = case when %(has_types)s then %(allowed_mime_types)s else allowed_mime_types end,
       updated_at = now()
 where id = %(id)s

-- name: own_is_empty
select not exists (select from storage.objects where bucket_id = %(id)s) as yes

-- name: delete_bucket
delete from storage.buckets where id = %(id)s

-- name: empty_bucket
delete from storage.objects where bucket_id = %(id)s

-- name: object
select id, bucket_id, name, owner, owner_id, version, created_at, updated_at, last_accessed_at, metadata, user_metadata
  from storage.objects where bucket_id = %(bucket)s and name = %(name)s

-- name: objects_named
select name from storage.objects where bucket_id = %(bucket)s and name = any(%(names)s)

-- name: insert_object
insert into storage.objects (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
values (%(id)s, %(bucket)s, %(name)s, %(owner)s, %(owner_id)s, %(version)s, %(metadata)s, %(user_metadata)s)

-- name: upsert_object
insert into storage.objects (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
values (%(id)s, %(bucket)s, %(name)s, %(owner)s, %(owner_id)s, %(version)s, %(metadata)s, %(user_metadata)s)
on conflict (bucket_id, name) do update set
  owner = excluded.owner, owner_id = excluded.owner_id, version = excluded.version,
  metadata = excluded.metadata, user_metadata = excluded.user_metadata

-- name: own_object_of_version
select id from storage.objects where version = %(version)s

-- name: move_object
update storage.objects set bucket_id = %(to_bucket)s, name = %(to_name)s
 where bucket_id = %(bucket)s and name = %(name)s

-- name: remove_objects
delete from storage.objects o
 using (select name, version from unnest(%(names)s::text[], %(versions)s::text[]) as asked (name, version)) a
 where o.bucket_id = %(bucket)s and o.name = a.name and (a.version is null or o.version = a.version)
returning o.id, o.bucket_id, o.name, o.owner, o.owner_id, o.version, o.created_at, o.updated_at, o.last_accessed_at,
  o.metadata, o.user_metadata

-- name: own_begin_write
insert into storage_internal.writes (version) values (%(version)s)

-- name: own_end_write
delete from storage_internal.writes where version = %(version)s

-- name: own_abandon_write
with gone as (delete from storage_internal.writes where version = %(version)s returning version)
insert into storage_internal.removals (version) select version from gone on conflict do nothing

-- name: own_abandon_old_writes
with gone as (
  delete from storage_internal.writes where started_at < now() - make_interval(secs => %(grace_s)s) returning version
)
insert into storage_internal.removals (version) select version from gone on conflict do nothing

-- name: own_next_removals
select version from storage_internal.removals r
 where not exists (select from storage.objects o where o.version collate "C" = r.version)
 order by asked_at limit 200 for update skip locked

-- name: own_end_removals
delete from storage_internal.removals where version = any(%(versions)s)

-- name: own_forget_removals
delete from storage_internal.removals r using storage.objects o where o.version collate "C" = r.version

-- name: own_strays
select v as version from unnest(%(versions)s::text[]) v
 where not exists (select from storage.objects o where o.version collate "C" = v)
   and not exists (select from storage_internal.writes w where w.version = v)
   and not exists (select from storage_internal.removals r where r.version = v)

-- name: own_ask_removals
insert into storage_internal.removals (version) select unnest(%(versions)s::text[]) on conflict do nothing

-- name: own_versions
select version, bucket_id, name, metadata from storage.objects
 where version collate "C" >= %(first)s and version collate "C" < %(last)s

-- name: own_has_version
select exists (select from storage.objects where version collate "C" = %(version)s) as yes

-- name: own_versions_of
select version from storage.objects where bucket_id = %(bucket)s and (%(name)s::text is null or name = %(name)s)
   and version is not null

-- name: own_begin_upload
insert into storage_internal.uploads
  (id, bucket_id, name, role, owner_id, is_signed, is_upsert, length_bytes, metadata, user_metadata, expires_at)
values (%(id)s, %(bucket_id)s, %(name)s, %(role)s, %(owner_id)s, %(is_signed)s, %(is_upsert)s, %(length)s, %(metadata)s,
  %(user_metadata)s, now() + make_interval(secs => %(expiry_s)s))
returning *

-- name: own_upload
select * from storage_internal.uploads where id = %(id)s and expires_at > now()

-- name: own_advance_upload
update storage_internal.uploads set offset_bytes = %(offset)s, length_bytes = %(length)s where id = %(id)s

-- name: own_finish_upload
update storage_internal.uploads set object_id = %(object_id)s where id = %(id)s and object_id is null

-- name: own_end_upload
delete from storage_internal.uploads where id = %(id)s

-- name: own_expired_uploads
delete from storage_internal.uploads where expires_at < now() returning id

-- name: own_uploads_known
select id from storage_internal.uploads where id = any(%(ids)s)

-- name: search
select name, id, updated_at, created_at, last_accessed_at, metadata
  from storage.search(%(prefix)s, %(bucket)s, %(limit)s, %(levels)s, %(offset)s, %(search)s, %(column)s, %(order)s)

-- name: names_up
select id, name, created_at, updated_at, last_accessed_at, metadata from storage.objects
 where bucket_id = %(bucket)s and name collate "C" >= %(low)s and name collate "C" < %(high)s
 order by name collate "C" limit %(limit)s

-- name: names_down
select id, name, created_at, updated_at, last_accessed_at, metadata from storage.objects
 where bucket_id = %(bucket)s and name collate "C" >= %(low)s and name collate "C" < %(high)s
 order by name collate "C" desc limit %(limit)s

-- name: by_time
with found as (
  select o.*, case when %(folders)s and position('/' in substr(o.name, %(start)s)) > 0
         then left(o.name, %(start)s - 1 + position('/' in substr(o.name, %(start)s))) end as folder
    from storage.objects o
   where o.bucket_id = %(bucket)s and o.name collate "C" >= %(low)s and o.name collate "C" < %(high)s
), entries as (
  select f.id, f.name, f.created_at, f.updated_at, f.last_accessed_at, f.metadata,
         case %(column)s when 'created_at' then f.created_at else f.updated_at end as moment
    from found f where f.folder is null
  union all
  select null, f.folder, min(f.created_at), max(f.updated_at), max(f.last_accessed_at), null,
         case %(column)s when 'created_at' then min(f.created_at) else max(f.updated_at) end
    from found f where f.folder is not null group by f.folder
), keyed as (
  select *, to_char(moment at time zone 'UTC', 'YYYYMMDDHH24MISSUS') as at from entries
)
select * from keyed
 where %(at)s::text is null or case when %(descending)s
   then (at collate "C", name collate "C") < (%(at)s collate "C", %(name)s collate "C")
   else (at collate "C", name collate "C") > (%(at)s collate "C", %(name)s collate "C") end
 order by case when not %(descending)s then at end collate "C", case when not %(descending)s then name end collate "C",
   case when %(descending)s then at end collate "C" desc, case when %(descending)s then name end collate "C" desc
 limit %(limit)s
