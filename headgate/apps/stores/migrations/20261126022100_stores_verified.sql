-- A milestone is verified from the moment its file agreed with what Shopify says, before its rows are there.
create or replace function stores.move_milestone(
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
        verified = excluded.label not in ('connected', 'recent')
            and (excluded.status = 'completed'
                 or excluded.status = 'in_progress'
                    and (coalesce(excluded.detail ->> 'state' = 'verified', false)
                         or m.verified and coalesce(excluded.detail ->> 'state' = 'promoted', false))),
        started_at = coalesce(m.started_at, excluded.started_at), completed_at = excluded.completed_at,
        updated_at = clock_timestamp()
$$;
