-- name: waiting
select id, topic, shop_domain, triggered_at, received_at, connection_ids, payload
  from stores.webhook_inbox where id = %(inbox)s and state = 'received' and payload is not null;

-- name: done
update stores.webhook_inbox set state = %(state)s, note = coalesce(%(note)s, note), applied_at = clock_timestamp()
 where id = %(inbox)s and state = 'received';

-- name: live
select id, brand_id, shop_domain, scopes, api_version from stores.connections
 where state in ('connected', 'error') and (%(connection)s::bigint is null or id = %(connection)s) order by id;

-- name: connections_of
select id, brand_id, shop_domain, state, scopes, connected_at from stores.connections
 where shop_domain = %(shop)s order by id;

-- name: told_webhooks
update stores.connections set webhooks = %(webhooks)s where shop_domain = %(shop)s and state in ('connected', 'error');

-- name: tell_scopes
update stores.connections set scopes = %(scopes)s, coverage = coverage || %(coverage)s, updated_at = now()
 where shop_domain = %(shop)s and state in ('connected', 'error');

-- name: tell_shop
update stores.connections
   set name = coalesce(%(name)s, name), currency = coalesce(%(currency)s, currency),
       time_zone = case when exists (select from pg_timezone_names z where z.name = %(time_zone)s)
                        then %(time_zone)s else time_zone end,
       updated_at = now()
 where shop_domain = %(shop)s and state in ('connected', 'error');

-- name: forget_bodies
update stores.webhook_inbox set payload = null
 where state in ('applied', 'stale', 'ignored') and payload is not null
   and received_at < now() - make_interval(days => %(days)s);

-- name: forget_rows
delete from stores.webhook_inbox where received_at < now() - interval '90 days' and state <> 'received';

-- name: requeue
select stores.requeue_webhooks();
