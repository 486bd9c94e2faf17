-- Webhooks that arrive together are kept by one call, so that they share one commit; what they tell of is read again shop
-- by shop, once per object, and a webhook counts as applied when the reading is committed.
alter table stores.webhook_inbox add column entity text
    check (entity in ('orders', 'customers', 'products', 'inventory'));
alter table stores.webhook_inbox add column object_id bigint;
alter table stores.webhook_inbox add column tries integer not null default 0;
alter table stores.webhook_inbox add column retry_at timestamptz;
comment on column stores.webhook_inbox.object_id is
    'The object that is read again because of it, with entity; null where nothing is to be read, as for a deletion.';
comment on column stores.webhook_inbox.tries is 'How often its object could not be read or kept; retry_at: when it is tried again.';
drop index stores.webhook_inbox_waiting;
create index webhook_inbox_waiting on stores.webhook_inbox (shop_domain, id) where state = 'received';
create index shop_refunds_unread on public.shop_refunds (connection_id, shopify_id) where not lines_read;

create function stores.read_soon(p_shop text) returns bigint
language sql set search_path = '' as $$
    select control.enqueue_job('stores.refetch', jsonb_build_object('shop', p_shop), p_unique => p_shop, p_priority => 15,
                               p_run_at => clock_timestamp() + interval '0.8 s', p_max_attempts => 20)
$$;
comment on function stores.read_soon is
    'Has the objects of the shop''s waiting webhooks read again. Not at once, because Shopify tells of one change '
    'by several webhooks. Ask stores.asking() before the webhook is written, or a job that is ending may not see it.';

create function stores.asking(p_shop text) returns boolean
language sql set search_path = '' as $$
    select pg_try_advisory_xact_lock_shared(hashtextextended('stores.webhooks:' || p_shop, 0))
$$;
comment on function stores.asking is
    'Held until the asker commits, so that a reading job does not end between its last look and this wish. False when one '
    'is ending: ask by stores.read_later() then. Nobody waits, for webhooks have to be acknowledged.';

create function stores.read_later(p_shop text) returns bigint
language sql set search_path = '' as $$
    select control.enqueue_job('stores.refetch', jsonb_build_object('shop', p_shop, 'ask', true), p_priority => 15,
                               p_run_at => clock_timestamp() + interval '0.2 s', p_max_attempts => 20)
$$;
comment on function stores.read_later is 'Adds a job that asks for a reading, once this transaction has committed.';

create function stores.end_of_reading(p_shop text) returns void
language sql set search_path = '' as $$
    select pg_advisory_xact_lock(hashtextextended('stores.webhooks:' || p_shop, 0))
$$;
comment on function stores.end_of_reading is
    'Waits for askers that have not committed; further ones wait until this transaction ends.';

create function stores.take_webhooks(p_rows jsonb) returns text[]
language plpgsql set search_path = '' as $$
declare
  v_results text[];
  v_jobs jsonb;
  v_shops text[];
  v_ending text[];
  v_row record;
  v_same record;
begin
  select array_agg(s.shop) into v_ending
    from (select distinct r ->> 'shop' as shop from jsonb_array_elements(p_rows) r) s where not stores.asking(s.shop);
  with given as materialized (
    -- numbered here, so that what was kept is told apart from what another row of the same name kept
    select r.*, nextval('stores.webhook_inbox_id_seq') as id
      from jsonb_to_recordset(p_rows) as r (n integer, topic text, shop text, event text, webhook text, version text,
             triggered timestamptz, bytes integer, payload jsonb, note text, digest text, entity text, object bigint)
  ), shops as (
    select s.shop,
           coalesce(array_agg(c.id order by c.id) filter (where c.state in ('connected', 'error')), '{}') as live,
           coalesce(array_agg(c.id order by c.id) filter (where c.id is not null), '{}') as known
      from (select distinct g.shop from given g) s left join stores.connections c on c.shop_domain = s.shop
     group by s.shop
  ), kept as (
    insert into stores.webhook_inbox
      (id, topic, shop_domain, event_id, webhook_id, api_version, triggered_at, bytes, payload, note, digest, state,
       connection_ids, entity, object_id)
    overriding system value
    select g.id, g.topic, g.shop, g.event, g.webhook, g.version, g.triggered, g.bytes, g.payload, g.note,
           case when g.topic !~ '^(app|shop)/' then decode(g.digest, 'hex') end,
           case when g.payload is null then 'failed' else 'received' end,
           case when g.topic in ('customers/data_request', 'customers/redact', 'shop/redact') then s.known else s.live end,
           g.entity, g.object
      from given g join shops s using (shop)
     order by g.shop, g.webhook
    on conflict do nothing
    returning id
  ), told as (
    select g.n, case when k.id is null then null when g.payload is null then 'unreadable' else 'taken' end as result, g.id,
           g.shop, g.object is not null and s.live <> '{}' as reads
      from given g join shops s using (shop) left join kept k using (id)
  )
  select array_agg(t.result order by t.n),
         jsonb_agg(jsonb_build_object('kind', 'stores.webhook_apply', 'args', jsonb_build_object('inbox_id', t.id),
                                      'key', 'stores:' || t.shop, 'priority', 15) order by t.n)
           filter (where t.result = 'taken' and not t.reads),
         array_agg(distinct t.shop) filter (where t.result = 'taken' and t.reads)
    into v_results, v_jobs, v_shops
    from told t;
  perform case when s = any (v_ending) then stores.read_later(s) else stores.read_soon(s) end
     from unnest(v_shops) s order by s;
  if v_jobs is not null then
    perform control.enqueue_jobs(v_jobs);
  end if;
  if array_position(v_results, null) is null then
    return v_results;
  end if;
  for v_row in
    select r.* from jsonb_to_recordset(p_rows) as r (n integer, topic text, shop text, event text, webhook text, digest text)
     where v_results[r.n] is null order by r.shop, r.webhook
  loop
    select w.id, w.received_at, w.webhook_id = v_row.webhook or w.event_id = v_row.event as named into v_same
      from stores.webhook_inbox w
     where w.webhook_id = v_row.webhook
        or (w.shop_domain = v_row.shop and w.topic = v_row.topic
            and (w.event_id = v_row.event or w.digest = decode(v_row.digest, 'hex')))
     order by named desc limit 1;
    if not v_same.named and v_same.received_at < now() - interval '10 minutes' then
      v_results[v_row.n] := 'replayed';
    else
      update stores.webhook_inbox set deliveries = deliveries + 1 where id = v_same.id;
      v_results[v_row.n] := 'duplicate';
    end if;
  end loop;
  return v_results;
end
$$;
comment on function stores.take_webhooks is
    'Keeps webhooks and adds their jobs, all or none; what became of each, by its n from 1: `taken`; `unreadable` without '
    'a payload; `duplicate` when it was here before (two events of one second may have the same body, so a new name is a '
    'duplicate for ten minutes and `replayed` later). No two rows may have one name. All connections of the shop see a '
    'privacy topic, live ones any other.';

create or replace function stores.requeue_webhooks(p_older_s double precision default 120) returns integer
language sql set search_path = '' as $$
  select (select count(control.enqueue_job('stores.webhook_apply', jsonb_build_object('inbox_id', w.id),
                                           p_key => 'stores:' || w.shop_domain, p_unique => 'again:' || w.id))
            from (select id, shop_domain from stores.webhook_inbox
                   where state = 'received' and object_id is null
                     and received_at < now() - make_interval(secs => p_older_s)
                     and not exists (select from control.jobs j
                                      where j.kind = 'stores.webhook_apply' and j.state in ('scheduled', 'ready', 'running')
                                        and (j.args ->> 'inbox_id')::bigint = webhook_inbox.id)
                   order by id limit 500) w)::integer
       + (select count(stores.read_soon(s.shop_domain))
            from (select distinct shop_domain from stores.webhook_inbox
                   where state = 'received' and object_id is not null
                     and coalesce(retry_at, received_at) < now() - make_interval(secs => p_older_s)) s)::integer
$$;
comment on function stores.requeue_webhooks is 'Adds jobs for webhooks that wait without one; how many.';

revoke all on function stores.take_webhooks, stores.read_soon, stores.read_later, stores.asking, stores.end_of_reading from public;

-- What waited to be read by the older way waits by this one.
update stores.webhook_inbox w set state = 'received', applied_at = null, note = null
 where w.state = 'applied' and w.note = 'being read again from the shop' and w.payload is not null
   and w.received_at > now() - interval '1 day'
   and exists (select from stores.refetches r where r.connection_id = any (w.connection_ids));
drop table stores.refetches;
drop function stores.take_webhook(text, text, text, text, text, timestamptz, integer, jsonb, text, bytea);
