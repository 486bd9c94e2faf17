-- robots.txt of each origin as last read, shared by all workers until it expires (RFC 9309).
create table control.robots (
  origin text primary key check (length(origin) between 8 and 300),
  fetched_at timestamptz not null default now(),
  expires_at timestamptz not null,
  status integer,
  verdict text not null check (verdict in ('rules', 'allow', 'disallow')),
  body text check (octet_length(body) <= 524288)
);

comment on table control.robots is 'robots.txt of an origin, or what stands for it while it cannot be read.';
comment on column control.robots.verdict is 'rules: obey body; allow: there is none (4xx); disallow: it could not be read (5xx, no connection).';

alter table control.robots enable row level security;
