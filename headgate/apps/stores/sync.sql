-- name: connection
select id, shop_domain, api_version, scopes, state, coverage, time_zone, currency from stores.connections
where id = %(connection)s

-- name: tell_version
update stores.connections set api_version = %(version)s, updated_at = now() where id = %(connection)s

-- name: live
select id from stores.connections where state in ('connected', 'error') order by id

-- name: begin
select stores.begin_sync(%(connection)s) as run

-- name: take_up
select stores.take_up(%(connection)s, %(delay_s)s) as added

-- name: still_live
-- Held until the transaction ends: whoever connects the shop again waits, and then sees what was let go.
select state in ('connected', 'error') as live from stores.connections where id = %(connection)s for share

-- name: operation
select b.*, r.state as run_state from stores.bulk_operations b join stores.sync_runs r on r.id = b.run_id
where b.id = %(operation)s

-- name: set_zone
select stores.set_zone(%(connection)s, %(zone)s, %(currency)s)

-- name: apply
select stores.apply_objects(%(connection)s, %(lines)s, %(read_at)s) as counts

-- name: apply_delete
select stores.apply_delete(%(connection)s, %(kind)s, %(id)s) as gone

-- name: drop_stray_stock
select stores.drop_stray_stock(%(connection)s)

-- name: apply_refund_lines
select stores.apply_refund_lines(%(connection)s, %(refunds)s, %(lines)s)

-- name: milestone
select stores.move_milestone(%(connection)s, %(label)s, %(status)s, %(detail)s, %(error)s, %(total)s)

-- name: count_recent
update public.shop_milestones set rows_written = rows_written + %(rows)s, objects_seen = objects_seen + %(rows)s,
    updated_at = clock_timestamp() where connection_id = %(connection)s and label = 'recent'

-- name: submitting
update stores.bulk_operations set submitting_at = clock_timestamp(), query = %(query)s, expected_roots = %(expected)s,
    attempts = attempts + 1, updated_at = clock_timestamp() where id = %(operation)s

-- name: waiting
update stores.bulk_operations set state = 'waiting_slot', submitting_at = null, attempts = attempts - 1,
    updated_at = clock_timestamp() where id = %(operation)s

-- name: submitted
update stores.bulk_operations set state = 'submitted', gid = %(gid)s, remote_status = %(status)s,
    remote_created_at = %(created)s, submitting_at = null, updated_at = clock_timestamp() where id = %(operation)s

-- name: polled
update stores.bulk_operations set state = %(state)s, remote_status = %(status)s, error_code = %(error_code)s,
    remote_created_at = %(created)s, object_count = %(objects)s, root_object_count = %(roots)s, file_size = %(size)s,
    url = %(url)s, is_partial = %(partial)s,
    late_polls = late_polls + (%(status)s = 'FAILED')::int, updated_at = clock_timestamp()
where id = %(operation)s

-- name: downloaded
update stores.bulk_operations set bytes = %(bytes)s, updated_at = clock_timestamp() where id = %(operation)s

-- name: restart_counts
with reset as (
    update stores.bulk_operations set lines = 0, roots = 0, rejected = 0, orphans = 0, duplicates = 0
    where id = %(operation)s returning connection_id, entity
), forget as (
    delete from stores.orphans where operation_id = %(operation)s
), unread as (
    delete from stores.dead_letters where operation_id = %(operation)s
)
update public.shop_milestones m set rows_written = 0, objects_seen = 0 from reset r
where m.connection_id = r.connection_id and m.label = r.entity

-- name: forget_parents
delete from stores.file_parents where operation_id = %(operation)s

-- name: parents_there
select exists (select from stores.file_parents where operation_id = %(operation)s) as there

-- name: state
update stores.bulk_operations set state = %(state)s, updated_at = clock_timestamp() where id = %(operation)s

-- name: verified
update stores.bulk_operations set state = %(state)s, expected_after = %(after)s, updated_at = clock_timestamp()
where id = %(operation)s

-- name: promoted
update stores.bulk_operations set state = %(state)s, duplicates = %(duplicates)s, updated_at = clock_timestamp()
where id = %(operation)s

-- name: again
update stores.bulk_operations set state = 'retrying', gid = null, submitting_at = null, url = null, bytes = 0, late_polls = 0,
    expected_after = null, error = %(error)s, updated_at = clock_timestamp() where id = %(operation)s

-- name: finish
update stores.bulk_operations set state = %(state)s, missing = %(missing)s, error = %(error)s,
    expected_after = %(after)s, finished_at = clock_timestamp(), updated_at = clock_timestamp()
where id = %(operation)s

-- name: operations_of
select entity, expected_roots, root_object_count, expected_after, missing from stores.bulk_operations
where run_id = %(run)s

-- name: waiting_orphans
select count(*) as orphans from stores.orphans where operation_id = %(operation)s

-- name: position
select updated_to from stores.positions where connection_id = %(connection)s and entity = %(entity)s

-- name: move_position
insert into stores.positions as p (connection_id, entity, updated_to, verified_at)
values (%(connection)s, %(entity)s, %(to)s, now())
on conflict (connection_id, entity) do update
set updated_to = greatest(p.updated_to, excluded.updated_to), verified_at = excluded.verified_at

-- name: unread_refunds
select shopify_id, order_id from public.shop_refunds where connection_id = %(connection)s and not lines_read
order by shopify_id limit %(limit)s

-- name: open_operations
select count(*) as open from stores.bulk_operations where run_id = %(run)s and finished_at is null

-- name: end_alone
-- Operations of a run end one after the other: two that end at once would each take the other for open.
select from stores.sync_runs where id = %(run)s for no key update

-- name: local_count
select case %(entity)s
    when 'orders' then (select count(*) from public.shop_orders
                        where connection_id = %(connection)s and created_at >= coalesce(%(since)s, '-infinity'::timestamptz))
    when 'customers' then (select count(*) from public.shop_customers where connection_id = %(connection)s)
    when 'variants' then (select count(*) from public.shop_variants where connection_id = %(connection)s)
    else (select count(*) from public.shop_products where connection_id = %(connection)s) end as rows

-- name: local_ids
select shopify_id from (
    select shopify_id, created_at, 'orders' as entity from public.shop_orders where connection_id = %(connection)s
    union all select shopify_id, null, 'customers' from public.shop_customers where connection_id = %(connection)s
    union all select shopify_id, null, 'products' from public.shop_products where connection_id = %(connection)s
    union all select shopify_id, null, 'variants' from public.shop_variants where connection_id = %(connection)s
) l where entity = %(entity)s and (created_at is null or created_at >= coalesce(%(since)s, '-infinity'::timestamptz))

-- name: other_variants
-- Variants here of products that were read whole, but for those that were read with them.
select connection_id, shopify_id from public.shop_variants
where connection_id = any (%(connections)s) and product_id = any (%(products)s) and shopify_id <> all (%(variants)s)

-- name: untied
select o as id from stores.untied(%(connection)s, %(limit)s) o

-- name: reconcile
select stores.reconcile(%(connection)s, %(run)s, %(findings)s) as id

-- name: reconciliation
select * from stores.reconciliations where id = %(id)s

-- name: running_run
select id from stores.sync_runs where connection_id = %(connection)s and state = 'running' and kind = 'full'
order by id desc limit 1

-- name: end_run
update stores.sync_runs set state = %(state)s, missing = %(missing)s, finished_at = now() where id = %(run)s and state = 'running'

-- name: read_waiting
select case when stores.asking(%(shop)s) then stores.read_soon(%(shop)s) else stores.read_later(%(shop)s) end
from (select from stores.webhook_inbox
where shop_domain = %(shop)s and state = 'received' and object_id is not null limit 1) w

-- name: operation_of_gid
select b.id from stores.bulk_operations b
where b.gid = %(gid)s and b.connection_id = %(connection)s

-- name: wake_poll
select control.retry_job(id) as state from control.jobs
where kind = 'stores.poll_bulk' and unique_key like %(unique)s || ':%%' and state = 'scheduled'

-- name: unbegun
-- Shops that connected, and whose first sync nobody is going to begin.
select c.id, c.shop_domain from stores.connections c
where c.state = 'connected' and c.connected_at < now() - make_interval(secs => %(older_s)s)
  and not exists (select from stores.sync_runs r where r.connection_id = c.id)
  and not exists (select from control.jobs j where j.state in ('scheduled', 'ready', 'running')
                  and j.kind = 'stores.recent_sync' and j.args ->> 'connection_id' = c.id::text)

-- name: end_recent
-- Where the reading of the recent days was given up, the whole has them by now, if it has any orders.
select stores.move_milestone(m.connection_id, m.label, case when p.updated_to is null then 'error' else 'completed' end,
                             null, case when p.updated_to is null then 'The last days could not be read.' end, null)
from public.shop_milestones m
left join stores.positions p on p.connection_id = m.connection_id and p.entity = 'orders'
where m.connection_id = %(connection)s and m.label = 'recent' and m.status = 'in_progress'
  and not exists (select from control.jobs j where j.state in ('scheduled', 'ready', 'running')
                  and j.kind = 'stores.recent_sync' and j.args ->> 'connection_id' = m.connection_id::text)

-- name: mend_milestone
-- What was denied for a while is read again: the milestone is as the last bulk operation left it.
select stores.move_milestone(m.connection_id, m.label, b.state, null, b.error, null)
from public.shop_milestones m cross join lateral (
    select o.state, o.error from stores.bulk_operations o
    where o.connection_id = m.connection_id and o.entity = m.label order by o.id desc limit 1) b
where m.connection_id = %(connection)s and m.label = %(label)s and m.status = 'error'
  and b.state in ('completed', 'partial')
