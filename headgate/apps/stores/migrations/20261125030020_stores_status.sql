-- How the sync of a brand stands, in one look under the caller's own rights: a brand that they do not see gives null.
create function stores.shop_status(p_connection bigint) returns jsonb
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
        'verified', m.verified, 'detail', m.detail, 'eta_s', ceil(m.eta_s)) order by m.place), '[]'))
    from stores.connections c left join m on true
   where c.id = p_connection
   group by c.id
$$;
comment on function stores.shop_status is 'The status of one connection';

create function stores.sync_status(p_brand uuid) returns jsonb
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
comment on function stores.sync_status is 'How the sync of a brand stands; null when the caller does not see the brand';
revoke all on function stores.shop_status(bigint), stores.sync_status(uuid) from public;
grant execute on function stores.shop_status(bigint), stores.sync_status(uuid) to authenticated, service_role;

-- What pages and clients read through /rest/v1, under the rights of whoever asks.
create view public.shop_brands with (security_invoker = true) as
  select b.id, b.name, b.created_at, m.role from stores.brands b
  join stores.brand_members m on m.brand_id = b.id and m.user_id = (select auth.uid());
comment on view public.shop_brands is 'The caller''s brands and their role in each';
create view public.shop_connections with (security_invoker = true) as
  select id, brand_id, shop_domain, name, state, scopes, api_version, time_zone, currency, coverage, webhooks, error,
         connected_at, uninstalled_at, redacted_at, updated_at from stores.connections;
comment on view public.shop_connections is 'Shops connected to the caller''s brands';
create view public.shop_webhooks with (security_invoker = true) as
  select id, topic, shop_domain, event_id, webhook_id, triggered_at, received_at, applied_at, state, deliveries, note, bytes,
         connection_ids from stores.webhook_inbox;
comment on view public.shop_webhooks is 'The log of webhooks of the caller''s shops, without their bodies';
create view public.shop_privacy_requests with (security_invoker = true) as
  select id, connection_id, topic, customer_id, order_ids, state, received_at, due_at, done_at, counts, collected, error
    from stores.gdpr_requests;
comment on view public.shop_privacy_requests is 'Privacy requests of the caller''s shops, with their audit';
create view public.shop_reconciliations with (security_invoker = true) as
  select id, connection_id, state, orders, tied, findings, at from stores.reconciliations;
comment on view public.shop_reconciliations is 'Comparisons of the ledger with Shopify''s totals';
create view public.shop_untied_orders with (security_invoker = true) as
  select reconciliation_id, connection_id, order_id, name, currency, current_total_price, ledger, difference
    from stores.untied_orders;
comment on view public.shop_untied_orders is 'Orders whose ledger does not add up to what Shopify says';
revoke all on public.shop_brands, public.shop_connections, public.shop_webhooks, public.shop_privacy_requests,
  public.shop_reconciliations, public.shop_untied_orders from public, anon;
grant select on public.shop_brands, public.shop_connections, public.shop_webhooks, public.shop_privacy_requests,
  public.shop_reconciliations, public.shop_untied_orders to authenticated, service_role;

create function public.stores_sync_status(p_brand uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$ select stores.sync_status(p_brand) $$;
comment on function public.stores_sync_status is 'The same as GET /api/sync/{brandId}/status';
revoke all on function public.stores_sync_status(uuid) from public, anon;
grant execute on function public.stores_sync_status(uuid) to authenticated, service_role;
