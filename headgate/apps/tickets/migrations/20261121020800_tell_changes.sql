-- Who listens on the channel tickets_changed hears the number of each event that has a newer accepted poll.
-- The trigger is on events, a small table, because no hot table of the application carries one.
create function tickets.tell_change() returns trigger
language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('tickets_changed', new.id::text);
  return null;
end
$$;
comment on function tickets.tell_change is 'Announce an event that has a newer accepted poll, or that was changed itself.';
revoke all on function tickets.tell_change() from public;

create trigger tell_change after insert or update of last_scraped, status, active, starts_at, name on public.events
  for each row execute function tickets.tell_change();
