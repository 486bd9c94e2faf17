-- Taking webhooks in: those that arrive together are kept by one call, so that they share one commit.
create function stores.take_webhooks(p_rows jsonb) returns text[]
language plpgsql set search_path = '' as $$
declare
  v_results text[];
  v_jobs jsonb;
  v_row record;
  v_same record;
begin
  with given as materialized (
    -- numbered here, so that what was kept is told apart from what another row of the same name kept
    select r.*, nextval('stores.webhook_inbox_id_seq') as id
      from jsonb_to_recordset(p_rows) as r (n integer, topic text, shop text, event text, webhook text, version text,
             triggered timestamptz, bytes integer, payload jsonb, note text, digest text)
  ), shops as (
    select s.shop,
           coalesce(array_agg(c.id order by c.id) filter (where c.state in ('connected', 'error')), '{}') as live,
           coalesce(array_agg(c.id order by c.id) filter (where c.id is not null), '{}') as known
      from (select distinct g.shop from given g) s left join stores.connections c on c.shop_domain = s.shop
     group by s.shop
  ), kept as (
    insert into stores.webhook_inbox
      (id, topic, shop_domain, event_id, webhook_id, api_version, triggered_at, bytes, payload, note, digest, state, connection_ids)
    overriding system value
    select g.id, g.topic, g.shop, g.event, g.webhook, g.version, g.triggered, g.bytes, g.payload, g.note,
           case when g.topic !~ '^(app|shop)/' then decode(g.digest, 'hex') end,
           case when g.payload is null then 'failed' else 'received' end,
           case when g.topic in ('customers/data_request', 'customers/redact', 'shop/redact') then s.known else s.live end
      from given g join shops s using (shop)
     order by g.shop, g.webhook
    on conflict do nothing
    returning id
  )
  select array_agg(case when k.id is null then null when g.payload is null then 'unreadable' else 'taken' end order by g.n),
         jsonb_agg(jsonb_build_object('kind', 'stores.webhook_apply', 'args', jsonb_build_object('inbox_id', g.id),
                                      'key', 'stores:' || g.shop, 'priority', 15) order by g.n)
           filter (where k.id is not null and g.payload is not null)
    into v_results, v_jobs
    from given g left join kept k using (id);
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
revoke all on function stores.take_webhooks from public;

drop function stores.take_webhook(text, text, text, text, text, timestamptz, integer, jsonb, text, bytea);
