-- name: waiting
select id, topic, shop_domain, triggered_at, received_at, connection_ids, payload
  from stores.webhook_inbox where id = %(inbox)s and state = 'received' and payload is not null;

-- name: done
update stores.webhook_inbox set state = %(state)s, note = coalesce(%(note)s, note), applied_at = clock_timestamp()
 where id = %(inbox)s and state = 'received';

-- name: ask
select case when stores.asking(%(shop)s) then stores.read_soon(%(shop)s) else stores.read_later(%(shop)s) end;

-- name: read_soon
select stores.read_soon(%(shop)s);

-- name: to_be_read
update stores.webhook_inbox set entity = %(entity)s, object_id = %(object)s where id = %(inbox)s and state = 'received';

-- name: waiting_reads
select id, topic, entity, object_id, tries, connection_ids,
       case when topic = 'customers/merge' then payload ->> 'admin_graphql_api_customer_deleted_id' end as lost
  from stores.webhook_inbox
 where shop_domain = %(shop)s and state = 'received' and object_id is not null and (retry_at is null or retry_at <= now())
 order by id limit %(limit)s;

-- name: was_read
update stores.webhook_inbox set state = %(state)s, note = %(note)s, retry_at = null, applied_at = clock_timestamp()
 where id = any (%(ids)s) and state = 'received';

-- name: put_off
update stores.webhook_inbox
   set tries = tries + 1, note = %(note)s,
       retry_at = case when tries + 1 < %(most)s then clock_timestamp() + least(2 ^ tries, 600) * interval '1 s' end,
       state = case when tries + 1 < %(most)s then state else 'failed' end,
       applied_at = case when tries + 1 < %(most)s then applied_at else clock_timestamp() end
 where id = any (%(ids)s) and state = 'received';

-- name: next_reads
select min(retry_at) as at, coalesce(bool_or(retry_at is null or retry_at <= now()), false) as due
  from stores.webhook_inbox where shop_domain = %(shop)s and state = 'received' and object_id is not null;

-- name: try_again
update stores.webhook_inbox set retry_at = null
 where shop_domain = %(shop)s and state = 'received' and object_id is not null and retry_at is not null;

-- name: end_of_reading
select stores.end_of_reading(%(shop)s);

-- name: shop_of
select shop_domain from stores.connections where id = %(connection)s;

-- name: live_of
select id from stores.connections where shop_domain = %(shop)s and state in ('connected', 'error') order by id;

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
update stores.connections set name = coalesce(%(name)s, name), updated_at = now()
 where shop_domain = %(shop)s and state in ('connected', 'error');

-- name: tell_zone
-- With the zone, the days of the sales move. Reading all zones takes 15 ms, so only another zone is looked for.
select stores.set_zone(c.id, %(time_zone)s, coalesce(%(currency)s, c.currency))
  from stores.connections c
 where c.shop_domain = %(shop)s and c.state in ('connected', 'error')
   and (c.time_zone = %(time_zone)s or %(time_zone)s in (select z.name from pg_timezone_names z))
 order by c.id;

-- name: forget_bodies
-- What waits to be read needs its body no more either.
update stores.webhook_inbox set payload = null
 where (state in ('applied', 'stale', 'ignored') or object_id is not null) and payload is not null
   and received_at < now() - make_interval(days => %(days)s);

-- name: forget_rows
delete from stores.webhook_inbox where received_at < now() - interval '90 days' and state <> 'received';

-- name: forget_letters
-- A line that could not be read may tell of a person.
delete from stores.dead_letters where at < now() - interval '90 days';

-- name: forget_collected
-- What was collected for a customer is a copy of all that is known of a person; the merchant has had it long enough.
update stores.gdpr_requests set collected = null where collected is not null and done_at < now() - interval '60 days';

-- name: files_in_use
select b.id, b.attempts from stores.bulk_operations b join stores.connections c on c.id = b.connection_id
 where b.finished_at is null and c.state in ('connected', 'error');

-- name: requeue
select stores.requeue_webhooks();
