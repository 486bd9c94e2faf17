drop trigger tell_change on public.events;
drop function tickets.tell_change();
