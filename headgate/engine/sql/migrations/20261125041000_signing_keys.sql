-- Keys that sign users' tokens, shared by every server process. The private half is sealed with the installation's
-- secret, so a dump of the database signs nothing.
create table control.signing_keys (
  kid text primary key,
  algorithm text not null check (algorithm in ('ES256', 'RS256')),
  status text not null check (status in ('standby', 'current', 'previous', 'revoked')),
  public jsonb not null,
  sealed bytea not null,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now()
);
comment on table control.signing_keys is 'token signing keys: standby, then current, then previous until revoked';
comment on column control.signing_keys.sealed is 'the private key, AES-256-GCM under a key made from the JWT secret';
create unique index signing_keys_one_of_each on control.signing_keys (status) where status in ('standby', 'current');
alter table control.signing_keys enable row level security;
revoke all on control.signing_keys from public;
