-- What privacy law asks: requests with their audit, and what may never come back.
create table stores.gdpr_requests (
    id bigint generated always as identity primary key,
    connection_id bigint not null references stores.connections on delete cascade,
    topic text not null check (topic in ('customers/data_request', 'customers/redact', 'shop/redact')),
    webhook_id text not null,
    customer_id bigint,
    order_ids bigint[] not null default '{}',
    state text not null default 'received' check (state in ('received', 'done', 'failed')),
    received_at timestamptz not null default now(),
    due_at timestamptz not null default now() + interval '30 days',
    done_at timestamptz,
    counts jsonb not null default '{}',
    collected jsonb,
    error text,
    unique (webhook_id, connection_id)
);
create index gdpr_requests_connection on stores.gdpr_requests (connection_id, received_at desc);
comment on table stores.gdpr_requests is 'The audit of privacy requests: what was asked, by when, what was done, to how much.';
comment on column stores.gdpr_requests.counts is 'Rows found or erased, by table.';
comment on column stores.gdpr_requests.collected is
    'For customers/data_request: everything kept about the customer, for the merchant to hand over.';
alter table stores.gdpr_requests enable row level security;
create policy gdpr_requests_read on stores.gdpr_requests for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy gdpr_requests_write on stores.gdpr_requests for all to service_role using (true) with check (true);
grant select on stores.gdpr_requests to authenticated, service_role;

create table stores.redactions (
    connection_id bigint not null references stores.connections on delete cascade,
    kind text not null check (kind in ('customer', 'order')),
    shopify_id bigint not null,
    redacted_at timestamptz not null default now(),
    primary key (connection_id, kind, shopify_id)
);
comment on table stores.redactions is
    'People and orders that were erased. Whoever promotes rows leaves the personal fields of these empty, whatever '
    'Shopify sends again. Holds numbers only.';
alter table stores.redactions enable row level security;
create policy redactions_read on stores.redactions for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy redactions_write on stores.redactions for all to service_role using (true) with check (true);
grant select on stores.redactions to authenticated, service_role;
