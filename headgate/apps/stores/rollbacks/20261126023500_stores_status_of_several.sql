create or replace function stores.sync_status(p_brand uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
  with shops as materialized (
    select stores.shop_status(c.id) as s, c.id
      from stores.connections c where c.brand_id = p_brand and c.state in ('connected', 'error')
  ), lines as (
    select l.line, l.line ->> 'label' as label, l.line ->> 'status' as status, shops.id,
           array_position(array['connected', 'recent', 'orders', 'customers', 'products', 'reconciled'], l.line ->> 'label') as place,
           array_position(array['error', 'in_progress', 'queued', 'pending', 'partial', 'completed'], l.line ->> 'status') as rank
      from shops cross join jsonb_array_elements(shops.s -> 'milestones') as l(line)
  ), merged as (
    -- of several shops, a milestone shows what is least far, and the sums
    select label, place,
           (array_agg(line order by rank, id))[1] as least,
           sum((line -> 'progress' ->> 'rows_written')::bigint) as written,
           sum((line -> 'progress' ->> 'total_rows')::bigint) as total,
           sum((line ->> 'objects_seen')::bigint) as seen, bool_and((line ->> 'verified')::boolean) as verified,
           min((line ->> 'started_at')::timestamptz) as started, max((line ->> 'completed_at')::timestamptz) as completed,
           max((line ->> 'updated_at')::timestamptz) as updated, max((line ->> 'eta_s')::numeric) as eta_s
      from lines group by label, place
  ), told as (
    select count(*) as n,
           case when count(*) = 0 then 'pending'
                when bool_or(s ->> 'overall_status' = 'syncing') then 'syncing'
                when bool_or(s ->> 'overall_status' = 'error') then 'error'
                when bool_or(s ->> 'overall_status' = 'pending') then 'pending'
                when bool_or(s ->> 'overall_status' = 'partial') then 'partial' else 'completed' end as overall,
           max((s ->> 'last_update')::timestamptz) as last_update, coalesce(sum((s ->> 'objects_seen')::bigint), 0) as seen,
           coalesce(bool_and((s ->> 'verified')::boolean), false) as verified, max((s ->> 'eta_s')::numeric) as eta_s,
           coalesce(jsonb_agg(s order by id), '[]') as shops,
           coalesce((array_agg(s -> 'coverage' order by (s -> 'coverage' ->> 'orders') = 'all', id))[1], '{}') as coverage
      from shops
  )
  select jsonb_build_object('shopify', jsonb_build_object(
    'milestones', coalesce((select jsonb_agg(
        least || jsonb_build_object('objects_seen', seen, 'verified', verified, 'started_at', started,
                   'completed_at', case when least ->> 'status' in ('completed', 'partial') then completed end,
                   'updated_at', updated, 'eta_s', eta_s)
              || case when total > 0 then jsonb_build_object('progress', jsonb_build_object(
                   'rows_written', written, 'total_rows', total,
                   'progress_pct', case when least ->> 'status' = 'completed' then 100
                                        else least(99, floor(100.0 * written / total)) end))
                 else '{}'::jsonb end order by place) from merged), '[]'),
    'last_update', t.last_update, 'overall_status', t.overall,
    'summary', case when t.n = 0 then 'No shop is connected'
      else (select coalesce(string_agg(n || ' ' || status, ', ' order by status), 'Waiting to begin')
              from (select replace(least ->> 'status', '_', ' ') as status, count(*) as n from merged group by 1) c) end,
    'coverage', t.coverage, 'objects_seen', t.seen, 'verified', t.verified, 'eta_s', t.eta_s, 'shops', t.shops))
    from stores.brands b cross join told t where b.id = p_brand
$$;
