-- name: of_connection
select t.shop_domain, t.sealed, t.key_id, t.generation, t.expires_at, c.state,
       t.expires_at is not null and t.expires_at < now() + make_interval(secs => %(margin_s)s) as stale
  from stores.connections c
  left join stores.tokens t on t.shop_domain = c.shop_domain and c.state in ('connected', 'error')
 where c.id = %(connection)s;

-- name: lock
select shop_domain, sealed, key_id, generation, expires_at,
       expires_at is not null and expires_at < now() + make_interval(secs => %(margin_s)s) as stale
  from stores.tokens where shop_domain = %(shop)s for update;

-- name: hold
-- First, where a transaction changes both: a token is locked before the connections of its shop.
select from stores.tokens where shop_domain = %(shop)s for update;

-- name: keep
insert into stores.tokens (shop_domain, sealed, key_id, scopes, expires_at, refresh_expires_at)
values (%(shop)s, %(sealed)s, %(key_id)s, %(scopes)s, now() + make_interval(secs => %(expires_s)s),
        now() + make_interval(secs => %(refresh_expires_s)s))
on conflict (shop_domain) do update
   set sealed = excluded.sealed, key_id = excluded.key_id, scopes = excluded.scopes, expires_at = excluded.expires_at,
       refresh_expires_at = excluded.refresh_expires_at, generation = tokens.generation + 1, refreshed_at = now();

-- name: erase
delete from stores.tokens t where t.shop_domain = %(shop)s
   and not exists (select from stores.connections c
                    where c.shop_domain = t.shop_domain and c.state in ('connected', 'error'));

-- name: tell_error
update stores.connections set state = 'error', error = %(error)s, updated_at = now()
 where shop_domain = %(shop)s and state in ('connected', 'error');

-- name: tell_open
update stores.connections set state = 'connected', error = null, updated_at = now()
 where shop_domain = %(shop)s and state = 'error';

-- name: due
select shop_domain from stores.tokens
 where expires_at < now() + interval '10 minutes' or refresh_expires_at < now() + interval '30 days'
 order by expires_at limit 500;
