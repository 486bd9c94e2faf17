-- How a sync begins, how its milestones move, whether the ledger ties, and what waits to be read again.

create table stores.refetches (
    connection_id bigint not null references stores.connections on delete cascade,
    entity text not null check (entity in ('orders', 'customers', 'products', 'inventory', 'refunds')),
    shopify_id bigint not null,
    asked_at timestamptz not null default clock_timestamp(),
    primary key (connection_id, entity, shopify_id)
);
comment on table stores.refetches is
    'Objects that changed at Shopify and wait to be read again: one row each, however many webhooks told of them.';
alter table stores.refetches enable row level security;
create policy refetches_read on stores.refetches for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy refetches_write on stores.refetches for all to service_role using (true) with check (true);
grant select on stores.refetches to authenticated;
grant select, insert, update, delete on stores.refetches to service_role;

alter table public.shop_refunds add column lines_read boolean not null default false;
comment on column public.shop_refunds.lines_read is 'Whether its lines were read; bulk operations cannot nest them.';

create function stores.move_milestone(
    p_connection bigint, p_label text, p_status text, p_detail jsonb default null, p_error text default null,
    p_total bigint default null) returns void
language sql set search_path = '' as $$
    insert into public.shop_milestones as m
        (connection_id, label, status, entity, detail, error, total_rows, started_at, completed_at)
    values (p_connection, p_label, p_status,
            case when p_label in ('orders', 'customers', 'products') then p_label
                 when p_label in ('recent', 'reconciled') then 'orders' end,
            coalesce(p_detail, '{}'), p_error, p_total, case when p_status not in ('pending', 'queued') then now() end,
            case when p_status in ('completed', 'partial') then now() end)
    on conflict (connection_id, label) do update
    set status = excluded.status, error = excluded.error, detail = m.detail || excluded.detail,
        total_rows = coalesce(excluded.total_rows, m.total_rows),
        verified = excluded.status = 'completed' and excluded.label not in ('connected', 'recent'),
        started_at = coalesce(m.started_at, excluded.started_at), completed_at = excluded.completed_at,
        updated_at = clock_timestamp()
$$;
comment on function stores.move_milestone is 'Sets a milestone''s status; detail is merged, total_rows kept where none is given.';

create function stores.begin_sync(p_connection bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_run bigint;
    v_label text;
begin
    perform stores.hold(p_connection);
    select r.id into v_run from stores.sync_runs r
    where r.connection_id = p_connection and r.kind = 'full' and r.state = 'running' order by r.id desc limit 1;
    if found then
        return v_run;
    end if;
    delete from stores.file_parents f using stores.bulk_operations b
    where b.connection_id = p_connection and f.operation_id = b.id;
    insert into stores.sync_runs (connection_id, kind) values (p_connection, 'full') returning id into v_run;
    insert into stores.bulk_operations (run_id, connection_id, entity)
    select v_run, p_connection, e from unnest(array['orders', 'customers', 'products']) e;
    delete from public.shop_milestones m where m.connection_id = p_connection;
    perform stores.move_milestone(p_connection, 'connected', 'completed');
    perform stores.move_milestone(p_connection, 'recent', 'in_progress');
    foreach v_label in array array['orders', 'customers', 'products'] loop
        perform stores.move_milestone(p_connection, v_label, 'queued');
    end loop;
    perform stores.move_milestone(p_connection, 'reconciled', 'pending');
    return v_run;
end $$;
comment on function stores.begin_sync is 'Begins a full sync of a connection, or gives the one that runs.';

create function stores.apply_refund_lines(p_connection bigint, p_refund bigint, p_lines jsonb) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_scope bigint := -nextval('control.runs_id_seq');
    v_written bigint;
begin
    perform stores.hold(p_connection);
    perform stores.spread(null, p_lines, now(), 0, 0);
    insert into stores.file_parents (operation_id, kind, shopify_id, order_id, version)
    select v_scope, 'r', r.shopify_id, r.order_id, now() from public.shop_refunds r
    where r.connection_id = p_connection and r.shopify_id = p_refund;
    v_written := stores.put_refund_lines(p_connection, v_scope, jsonb_array_length(p_lines));
    delete from stores.file_parents f where f.operation_id = v_scope;
    update public.shop_refunds r set lines_read = true
    where r.connection_id = p_connection and r.shopify_id = p_refund and not r.lines_read;
    return v_written;
end $$;
comment on function stores.apply_refund_lines is 'Puts the lines of one refund, read by paging; rows written.';

create view stores.order_ledgers with (security_invoker = true) as
select o.connection_id, o.shopify_id as order_id, o.name, o.currency, o.current_total_price,
       coalesce(sum(s.amount), 0) as ledger, o.presentment_current_total_price,
       coalesce(sum(s.presentment_amount), 0) as presentment_ledger
from public.shop_orders o
left join public.shop_sales s on s.connection_id = o.connection_id and s.order_id = o.shopify_id
group by o.connection_id, o.shopify_id;
comment on view stores.order_ledgers is 'Each order''s current total price beside what its ledger adds up to.';
grant select on stores.order_ledgers to authenticated, service_role;

create function stores.untied(p_connection bigint, p_limit integer) returns setof bigint
language sql stable set search_path = '' as $$
    select l.order_id from stores.order_ledgers l
    where l.connection_id = p_connection
      and (l.current_total_price is distinct from l.ledger
           or l.presentment_current_total_price is distinct from l.presentment_ledger)
    order by l.order_id desc limit p_limit
$$;
comment on function stores.untied is 'Orders whose ledger does not add up to their current total price, in either currency.';

create function stores.reconcile(p_connection bigint, p_run bigint, p_findings jsonb) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_id bigint;
    v_orders bigint;
    v_open bigint;
begin
    insert into stores.reconciliations (connection_id, run_id, state, orders, tied, findings)
    values (p_connection, p_run, 'open', 0, 0, p_findings) returning id into v_id;
    insert into stores.untied_orders
        (reconciliation_id, connection_id, order_id, name, currency, current_total_price, ledger, difference)
    select v_id, p_connection, l.order_id, l.name, l.currency, l.current_total_price, l.ledger,
           l.ledger - l.current_total_price
    from stores.order_ledgers l
    where l.connection_id = p_connection
      and (l.current_total_price is distinct from l.ledger
           or l.presentment_current_total_price is distinct from l.presentment_ledger);
    get diagnostics v_open = row_count;
    select count(*) into v_orders from public.shop_orders o where o.connection_id = p_connection;
    update stores.reconciliations r
    set orders = v_orders, tied = v_orders - v_open,
        state = case when v_open = 0 and p_findings = '[]' then 'tied' else 'open' end
    where r.id = v_id;
    delete from stores.reconciliations r
    where r.connection_id = p_connection and r.at < now() - interval '90 days' and r.id <> v_id;
    return v_id;
end $$;
comment on function stores.reconcile is
    'Ties every order''s ledger to its current total price and keeps the report; p_findings is what else does not agree.';

revoke execute on function stores.move_milestone(bigint, text, text, jsonb, text, bigint), stores.begin_sync(bigint),
    stores.apply_refund_lines(bigint, bigint, jsonb), stores.untied(bigint, integer),
    stores.reconcile(bigint, bigint, jsonb) from public;
