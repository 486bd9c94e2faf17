-- Mail that the auth service writes: an outbox in the transaction that asks for it, or, where no mail server is set,
-- an inbox for development that only service_role may read.
create table control.mail (
  id bigint generated always as identity primary key,
  created_at timestamptz not null default now(),
  kind text not null,
  recipient text not null,
  subject text not null,
  text text,
  html text,
  state text not null check (state in ('inbox', 'queued', 'sent', 'failed')),
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  error text
);
comment on table control.mail is 'mail of the auth service; bodies are forgotten once a mail server took them';
create index mail_due on control.mail (due_at) where state = 'queued';
create index mail_created_at on control.mail (created_at);
alter table control.mail enable row level security;
revoke all on control.mail from public;
grant select on control.mail to service_role;
grant usage on schema control to service_role;

create view public.mail_inbox with (security_invoker = true) as
  select id, created_at, kind, recipient, subject, text, html from control.mail where state = 'inbox';
comment on view public.mail_inbox is 'mail kept here because no mail server is set; for service_role only';
revoke all on public.mail_inbox from public;
grant select on public.mail_inbox to service_role;
