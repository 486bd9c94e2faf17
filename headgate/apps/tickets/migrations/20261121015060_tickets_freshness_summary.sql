-- One line of freshness for `headgate status`.
create function tickets.freshness_summary() returns jsonb
language sql stable set search_path = '' as $$
    select case when f.events = 0 then '{}' else jsonb_build_object(
        'events', f.events, 'fresh', f.fresh, 'starved', f.starved,
        'within_promise', round(f.within_promise::numeric, 4), 'age_p95_s', round(f.age_p95_s::numeric, 1),
        'stretch', round(f.stretch::numeric, 2)) end
    from tickets.freshness() f
$$;
comment on function tickets.freshness_summary is 'tickets.freshness() over 24 hours as JSON; empty without active events.';
revoke all on function tickets.freshness_summary() from public;
grant execute on function tickets.freshness_summary() to service_role;
