-- What administrators may see of the other services: mail that stays here, every bucket and object, private channels.
create policy mail_admin on control.mail for select to authenticated using ((select console_private.is_admin()));
grant select on control.mail to authenticated;
create view console.mail with (security_invoker = true) as
  select m.id, m.created_at, m.kind, m.recipient, m.subject, m.text, m.html, m.state, m.attempts, m.error from control.mail m;
comment on view console.mail is 'The auth service''s mail: the development inbox, and what waits or failed.';
revoke all on console.mail from public, anon;
grant select on console.mail to authenticated, service_role;

-- Storage and realtime are asked as the administrator, so their own row-level security has to say yes.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['storage.buckets', 'storage.objects', 'realtime.messages'] loop
    if to_regclass(v_table) is not null then
      execute format('create policy console_admin on %s for all to authenticated
        using ((select console_private.is_admin())) with check ((select console_private.is_admin()))', v_table);
    end if;
  end loop;
end
$$;
