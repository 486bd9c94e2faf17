-- Access tokens and one-time states. No role of a client has any right here, not even to count rows.
create table stores.tokens (
    shop_domain text primary key,
    sealed bytea not null,
    key_id text not null,
    generation bigint not null default 1,
    scopes text[] not null default '{}',
    expires_at timestamptz,
    refresh_expires_at timestamptz,
    made_at timestamptz not null default now(),
    refreshed_at timestamptz
);
comment on table stores.tokens is
    'The one installation of a shop: its access and refresh token, AES-256-GCM under the key `key_id`, which is never '
    'in the database. Brands that share a shop share the installation, because a refresh retires the older token.';
comment on column stores.tokens.sealed is
    'Nonce (12 bytes), then the JSON {access, refresh} encrypted with the shop''s domain as associated data.';
comment on column stores.tokens.generation is 'Goes up with each refresh; who refreshed against an older one lost.';
alter table stores.tokens enable row level security;

create table stores.oauth_states (
    state_sha256 bytea primary key,
    brand_id uuid not null references stores.brands on delete cascade,
    user_id uuid,
    shop_domain text not null,
    return_to text not null default '/',
    made_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
create index oauth_states_expiry on stores.oauth_states (expires_at);
create index oauth_states_brand on stores.oauth_states (brand_id);
comment on table stores.oauth_states is
    'States of connections under way, by SHA-256. Each is good once, for its shop, brand and user, until it expires.';
alter table stores.oauth_states enable row level security;

revoke all on stores.tokens, stores.oauth_states from public, anon, authenticated, service_role;
