-- Reading and writing one's own rules. All run as the caller, so row-level security decides. Thresholds and values are
-- prices in the major unit, percentages or numbers of tickets here, and integers in the tables.
create function public.list_alerts()
returns table (
  id bigint, event_id bigint, event_name text, kind text, threshold double precision, zone text, group_size smallint,
  note text, active boolean, armed boolean, created_at timestamptz, fired_at timestamptz
)
language sql stable security invoker as $$
  select r.id, r.event_id, e.name, r.kind,
         r.threshold::double precision / case when r.kind = 'inventory_below' then 1 else 100 end,
         r.zone, r.group_size, r.note, r.active, r.armed, r.created_at, r.fired_at
    from public.alert_rules r
    left join public.events e on e.id = r.event_id
$$;
comment on function public.list_alerts is 'The caller''s alert rules';

create function public.list_alert_fires()
returns table (
  id bigint, rule_id bigint, event_id bigint, event_name text, kind text, value double precision,
  threshold double precision, message text, observed_at timestamptz, fired_at timestamptz
)
language sql stable security invoker as $$
  select f.id, f.rule_id, f.event_id, e.name, r.kind,
         f.value::double precision / case when r.kind in ('inventory_below', 'back_in_stock') then 1 else 100 end,
         f.threshold::double precision / case when r.kind = 'inventory_below' then 1 else 100 end,
         f.message, f.observed_at, f.fired_at
    from public.alert_fires f
    join public.alert_rules r on r.event_id = f.event_id and r.id = f.rule_id
    left join public.events e on e.id = f.event_id
$$;
comment on function public.list_alert_fires is 'What the caller''s alert rules fired';

create function public.create_alert(
  p_event_id bigint, p_kind text, p_threshold numeric, p_zone text default null, p_group_size integer default 1,
  p_note text default null
) returns bigint
language plpgsql security invoker set search_path = '' as $$
declare
  made bigint;
begin
  if (select pg_catalog.count(*) from public.alert_rules r where r.user_id = (select auth.uid())) >= 100 then
    raise exception 'at most 100 alert rules for one user' using errcode = 'check_violation';
  end if;
  insert into public.alert_rules (event_id, kind, threshold, zone, group_size, note, last_value)
  select e.id, p_kind, round(p_threshold * case when p_kind = 'inventory_below' then 1 else 100 end), p_zone,
         p_group_size, p_note,
         case when p_kind = 'back_in_stock' then
           (select coalesce(sum(o.qty), 0)
              from public.listings_open o
              join public.sections s on s.event_id = o.event_id and s.section_id = o.section_id
             where o.event_id = e.id and (p_zone is null or s.zone = p_zone)) end
    from public.events e where e.id = p_event_id
  returning id into made;
  return made;
end
$$;
comment on function public.create_alert is 'A new alert rule of the caller; null when there is no such event';

create function public.change_alert(
  p_id bigint, p_threshold numeric default null, p_active boolean default null, p_note text default null
) returns boolean
language sql security invoker set search_path = '' as $$
  with changed as (
    update public.alert_rules r
       set threshold = case when r.kind in ('new_listing', 'back_in_stock') then null
                            else coalesce(round(p_threshold * case when r.kind = 'inventory_below' then 1 else 100 end)::bigint,
                                          r.threshold) end,
           active = coalesce(p_active, r.active), note = coalesce(p_note, r.note), armed = true
     where r.id = p_id
    returning 1
  )
  select exists (select from changed)
$$;
comment on function public.change_alert is 'Change a rule of the caller and arm it again; false when it is not theirs';

revoke all on function public.list_alerts(), public.list_alert_fires(),
  public.create_alert(bigint, text, numeric, text, integer, text),
  public.change_alert(bigint, numeric, boolean, text) from public, anon;
grant execute on function public.list_alerts(), public.list_alert_fires(),
  public.create_alert(bigint, text, numeric, text, integer, text),
  public.change_alert(bigint, numeric, boolean, text) to authenticated, service_role;
