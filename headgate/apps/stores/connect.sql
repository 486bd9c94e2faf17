-- name: role_of
select case when %(service)s then 'owner' else m.role end as role
  from stores.brands b left join stores.brand_members m on m.brand_id = b.id and m.user_id = (select auth.uid())
 where b.id = %(brand)s and (%(service)s or m.user_id is not null);

-- name: make_state
with swept as (delete from stores.oauth_states where expires_at < now() - interval '1 day')
insert into stores.oauth_states (state_sha256, brand_id, user_id, shop_domain, return_to, expires_at)
values (%(state)s, %(brand)s, %(user)s, %(shop)s, %(return_to)s, now() + make_interval(mins => %(minutes)s));

-- name: use_state
update stores.oauth_states set used_at = now()
 where state_sha256 = any (%(states)s) and shop_domain = %(shop)s and used_at is null and expires_at > now()
returning brand_id, user_id, return_to;

-- name: peek_state
select shop_domain from stores.oauth_states
 where state_sha256 = %(state)s and used_at is null and expires_at > now();

-- name: taken
select exists (select from stores.connections
                where shop_domain = %(shop)s and brand_id <> %(brand)s and state in ('connected', 'error')) as taken;

-- name: keep_connection
-- Zone and currency of a shop that comes back are set by its sync, which moves the days of its sales with them.
insert into stores.connections as c
  (brand_id, shop_domain, shop_id, name, shared, api_version, scopes, time_zone, currency, coverage, connected_by)
values (%(brand)s, %(shop)s, %(shop_id)s, %(name)s, %(shared)s, %(version)s, %(scopes)s, %(time_zone)s, %(currency)s,
        %(coverage)s, %(user)s)
on conflict (brand_id, shop_domain) do update
   set state = 'connected', error = null, shop_id = excluded.shop_id, name = excluded.name, shared = excluded.shared,
       api_version = excluded.api_version, scopes = excluded.scopes, coverage = excluded.coverage, connected_by = excluded.connected_by,
       connected_at = now(), uninstalled_at = null, redacted_at = null, updated_at = now()
returning c.id;

-- name: siblings
with before as (
  select id, scopes from stores.connections
   where shop_domain = %(shop)s and state in ('connected', 'error') and id <> %(connection)s for update
)
update stores.connections c set scopes = %(scopes)s, coverage = %(coverage)s, state = 'connected', error = null,
       updated_at = now()
  from before b where c.id = b.id
returning c.id, not b.scopes @> c.scopes as gained;

-- name: is_live
select exists (select from stores.connections where shop_domain = %(shop)s and state in ('connected', 'error')) as live;

-- name: connection
select id, brand_id, shop_domain, state from stores.connections where id = %(connection)s;

-- name: mark_disconnected
update stores.connections set state = 'disconnected', error = null, updated_at = now()
 where id = %(connection)s and state in ('connected', 'error');

-- name: mark_uninstalled
update stores.connections set state = 'uninstalled', error = null, uninstalled_at = %(at)s, updated_at = now()
 where shop_domain = %(shop)s and state in ('connected', 'error')
   and connected_at <= coalesce(%(at)s::timestamptz, now());

-- name: make_brand
with made as (insert into stores.brands (name, created_by) values (%(name)s, %(user)s) returning id),
     member as (insert into stores.brand_members (brand_id, user_id, role)
                select id, %(user)s, 'owner' from made where %(user)s::uuid is not null)
select id from made;
