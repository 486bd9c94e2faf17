-- Webhooks as they came: one insert each, before anything is done about them. Applied by the job stores.webhook_apply.
create table stores.webhook_inbox (
    id bigint generated always as identity primary key,
    topic text not null,
    shop_domain text not null,
    event_id text not null,
    webhook_id text not null,
    api_version text,
    triggered_at timestamptz,
    received_at timestamptz not null default clock_timestamp(),
    connection_ids bigint[] not null default '{}',
    state text not null default 'received'
        check (state in ('received', 'applied', 'stale', 'ignored', 'failed')),
    deliveries integer not null default 1,
    applied_at timestamptz,
    note text,
    bytes integer not null,
    payload jsonb
);
create unique index webhook_inbox_event on stores.webhook_inbox (shop_domain, topic, event_id);
create unique index webhook_inbox_webhook on stores.webhook_inbox (webhook_id);
create index webhook_inbox_waiting on stores.webhook_inbox (id) where state = 'received';
create index webhook_inbox_connections on stores.webhook_inbox using gin (connection_ids);
create index webhook_inbox_received on stores.webhook_inbox (received_at);
comment on table stores.webhook_inbox is
    'Each event once: deliveries that share the event id (one topic, one shop) or the webhook id are counted, not kept.';
comment on column stores.webhook_inbox.connection_ids is 'The live connections of the shop when it came.';
comment on column stores.webhook_inbox.state is
    'received: to be applied. applied. stale: what it says is older than what is known. ignored: nothing to do, with '
    'the reason in note. failed: kept for a person.';
comment on column stores.webhook_inbox.deliveries is 'How often it was delivered.';
comment on column stores.webhook_inbox.payload is 'The body; removed after applied webhooks are a while old.';
alter table stores.webhook_inbox enable row level security;
create policy webhook_inbox_read on stores.webhook_inbox for select to authenticated
    using (connection_ids && (select stores.my_connections())::bigint[]);
create policy webhook_inbox_write on stores.webhook_inbox for all to service_role using (true) with check (true);
-- The log shows what came and what became of it; the body holds people's addresses and stays inside.
grant select (id, topic, shop_domain, event_id, webhook_id, api_version, triggered_at, received_at, connection_ids, state,
    deliveries, applied_at, note, bytes) on stores.webhook_inbox to authenticated, service_role;
