create function stores.take_webhook(
  p_topic text, p_shop text, p_event text, p_webhook text, p_version text, p_triggered timestamptz, p_bytes integer,
  p_payload jsonb, p_note text default null, p_digest bytea default null
) returns text language plpgsql set search_path = '' as $$
declare
  v_id bigint;
  v_same record;
  v_all constant boolean := p_topic in ('customers/data_request', 'customers/redact', 'shop/redact');
begin
  insert into stores.webhook_inbox
    (topic, shop_domain, event_id, webhook_id, api_version, triggered_at, bytes, payload, note, digest, state, connection_ids)
  values (p_topic, p_shop, p_event, p_webhook, p_version, p_triggered, p_bytes, p_payload, p_note,
          case when p_topic !~ '^(app|shop)/' then p_digest end,
          case when p_payload is null then 'failed' else 'received' end,
          coalesce((select array_agg(c.id order by c.id) from stores.connections c
                     where c.shop_domain = p_shop and (v_all or c.state in ('connected', 'error'))), '{}'))
  on conflict do nothing
  returning id into v_id;
  if v_id is null then
    select w.id, w.received_at, w.webhook_id = p_webhook or w.event_id = p_event as named into v_same
      from stores.webhook_inbox w
     where w.webhook_id = p_webhook
        or (w.shop_domain = p_shop and w.topic = p_topic and (w.event_id = p_event or w.digest = p_digest))
     order by named desc limit 1;
    if not v_same.named and v_same.received_at < now() - interval '10 minutes' then
      return 'replayed';
    end if;
    update stores.webhook_inbox set deliveries = deliveries + 1 where id = v_same.id;
    return 'duplicate';
  end if;
  if p_payload is null then
    return 'unreadable';
  end if;
  perform control.enqueue_job('stores.webhook_apply', jsonb_build_object('inbox_id', v_id),
                              p_key => 'stores:' || p_shop, p_priority => 15);
  return 'taken';
end
$$;
comment on function stores.take_webhook is
    'Keeps a webhook and adds its job; `duplicate` when it was here before (two events of one second may have the same '
    'body, so a new name is a duplicate for ten minutes and `replayed` later). All connections of the shop see a privacy '
    'topic, live ones any other.';
revoke all on function stores.take_webhook from public;

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

create or replace function stores.requeue_webhooks(p_older_s double precision default 120) returns integer
language sql set search_path = '' as $$
  select count(control.enqueue_job('stores.webhook_apply', jsonb_build_object('inbox_id', w.id),
                                   p_key => 'stores:' || w.shop_domain, p_unique => 'again:' || w.id))::integer
    from (select id, shop_domain from stores.webhook_inbox
           where state = 'received' and received_at < now() - make_interval(secs => p_older_s)
             and not exists (select from control.jobs j
                              where j.kind = 'stores.webhook_apply' and j.state in ('scheduled', 'ready', 'running')
                                and (j.args ->> 'inbox_id')::bigint = webhook_inbox.id)
           order by id limit 500) w
$$;
comment on function stores.requeue_webhooks is 'Adds jobs for webhooks that wait without one; how many.';

drop function stores.take_webhooks(jsonb), stores.end_of_reading(text), stores.asking(text), stores.read_later(text),
    stores.read_soon(text);
drop index public.shop_refunds_unread;
drop index stores.webhook_inbox_waiting;
create index webhook_inbox_waiting on stores.webhook_inbox (id) where state = 'received';
alter table stores.webhook_inbox drop column retry_at, drop column tries, drop column object_id, drop column entity;
