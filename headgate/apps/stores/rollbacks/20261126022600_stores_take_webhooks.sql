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

drop function stores.take_webhooks(jsonb);
