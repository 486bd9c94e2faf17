-- A shop whose first sync has not begun has no milestones, not one without a name.
create or replace function stores.shop_status(p_connection bigint) returns jsonb
language sql stable security invoker set search_path = '' as $$
  with m as (
    select s.*, array_position(array['connected', 'recent', 'orders', 'customers', 'products', 'reconciled'], s.label) as place,
           case when s.status = 'in_progress' and s.total_rows > s.rows_written and s.rows_written > 0
                  and s.started_at < now() - interval '1 second'
                then extract(epoch from now() - s.started_at) * (s.total_rows - s.rows_written) / s.rows_written end as eta_s
      from public.shop_milestones s where s.connection_id = p_connection
  )
  select jsonb_build_object(
    'connection_id', c.id, 'shop', c.shop_domain, 'name', c.name, 'state', c.state, 'error', c.error,
    'coverage', c.coverage,
    'overall_status',
      case when c.state = 'error' then 'error'
           when c.state <> 'connected' then 'pending'
           when count(m) filter (where m.status in ('queued', 'in_progress')) > 0 then 'syncing'
           when bool_or(m.status = 'error') then 'error'
           when count(m) = 0 then 'pending'
           when bool_or(m.status = 'pending')
             then case when bool_or(m.status <> 'pending' and m.label <> 'connected') then 'syncing' else 'pending' end
           when bool_or(m.status = 'partial') then 'partial'
           else 'completed' end,
    'objects_seen', coalesce(sum(m.objects_seen), 0), 'eta_s', ceil(max(m.eta_s)), 'last_update', max(m.updated_at),
    'verified', coalesce(bool_and(m.verified or m.status = 'completed' and m.label in ('connected', 'recent'))
                           and count(m) > 0, false),
    'milestones', coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('progress',
        case when m.total_rows > 0 then jsonb_build_object(
          'rows_written', m.rows_written, 'total_rows', m.total_rows,
          -- 100 is for what is done: a count that was too low must not look finished
          'progress_pct', case when m.status = 'completed' then 100
                               else least(99, floor(100.0 * m.rows_written / m.total_rows)) end) end)) ||
      jsonb_build_object(
        'label', m.label, 'status', m.status, 'entity', m.entity, 'error', m.error, 'started_at', m.started_at,
        'completed_at', m.completed_at, 'updated_at', m.updated_at, 'objects_seen', m.objects_seen,
        'verified', m.verified, 'detail', m.detail, 'eta_s', ceil(m.eta_s)) order by m.place) filter (where m.label is not null), '[]'))
    from stores.connections c left join m on true
   where c.id = p_connection
   group by c.id
$$;
