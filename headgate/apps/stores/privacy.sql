-- name: receive
insert into stores.gdpr_requests (connection_id, topic, webhook_id, customer_id, order_ids)
values (%(connection)s, %(topic)s, %(webhook)s, %(customer)s, %(orders)s)
on conflict (webhook_id, connection_id) do update set topic = excluded.topic
returning id, state;

-- name: connections
select id, state from stores.connections where id = any (%(ids)s) and state <> 'redacted' order by id;

-- name: left_by
-- The shop of a request for its erasure that is live here all the same.
select c.shop_domain, g.received_at from stores.gdpr_requests g join stores.connections c on c.id = g.connection_id
 where g.id = %(request)s and g.topic = 'shop/redact' and g.state <> 'done' and c.state in ('connected', 'error');

-- name: lock
select id, connection_id, topic, customer_id, order_ids, state from stores.gdpr_requests where id = %(request)s for update;

-- name: connection
select id, shop_domain, state from stores.connections where id = %(connection)s for update;

-- name: collect
select stores.collect_customer(%(connection)s, %(customer)s, %(orders)s) as found;

-- name: redact_customer
select stores.redact_customer(%(connection)s, %(customer)s, %(orders)s) as counts;

-- name: redact_shop
select stores.redact_shop(%(connection)s) as counts;

-- name: done
update stores.gdpr_requests set state = %(state)s, done_at = now(), counts = %(counts)s, collected = %(collected)s,
       error = %(error)s where id = %(request)s;

-- name: webhook_of
select webhook_id from stores.webhook_inbox where id = %(inbox)s;
