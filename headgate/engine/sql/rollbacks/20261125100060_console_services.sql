do $$
declare
  v_table text;
begin
  foreach v_table in array array['storage.buckets', 'storage.objects', 'realtime.messages'] loop
    if to_regclass(v_table) is not null then
      execute format('drop policy if exists console_admin on %s', v_table);
    end if;
  end loop;
end
$$;
drop view console.mail;
revoke select on control.mail from authenticated;
drop policy mail_admin on control.mail;
