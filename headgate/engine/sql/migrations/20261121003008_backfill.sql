-- Backfill: history through the same path as everything else, in chunks, at a pace, with a pause.
create table control.backfills (
    id          bigint generated always as identity primary key,
    app         text             not null,
    source      text             not null,
    key         text             not null default '',
    owner       uuid,
    state       text             not null default 'running' check (state in ('running', 'paused', 'done', 'cancelled')),
    pace_s      double precision not null default 0 check (pace_s >= 0),
    chunks      int              not null,
    created_at  timestamptz      not null default now(),
    finished_at timestamptz
);
comment on table control.backfills is 'One row per backfill. pace_s: seconds that must pass between the starts of two chunks.';
create index backfills_owner on control.backfills (owner) where owner is not null;

create table control.backfill_chunks (
    backfill_id bigint not null references control.backfills on delete cascade,
    number      int    not null,
    args        jsonb  not null,
    state       text   not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed')),
    run_id      bigint,
    attempts    int    not null default 0,
    started_at  timestamptz,
    finished_at timestamptz,
    primary key (backfill_id, number)
);
create index backfill_chunks_run on control.backfill_chunks (run_id) where run_id is not null;
comment on table control.backfill_chunks is 'The pieces of a backfill and the run that did each; done in that run''s last transaction.';

grant select, insert, update, delete on control.backfills, control.backfill_chunks to service_role;
grant select on control.backfills, control.backfill_chunks to authenticated;
alter table control.backfills enable row level security;
alter table control.backfill_chunks enable row level security;
create policy backfills_service on control.backfills for all to service_role using (true) with check (true);
create policy backfills_own on control.backfills for select to authenticated using (owner = (select auth.uid()));
create policy backfill_chunks_service on control.backfill_chunks for all to service_role using (true) with check (true);
create policy backfill_chunks_own on control.backfill_chunks for select to authenticated
    using (exists (select from control.backfills b where b.id = backfill_id and b.owner = (select auth.uid())));

-- The next chunk to do, or none: with wait_s when the pace asks to wait, without when nothing is left to take.
-- A chunk whose run ended without succeeding is taken again, up to five attempts.
create function control.backfill_take(p_backfill bigint)
returns table (number int, args jsonb, wait_s double precision)
language plpgsql set search_path = '' as $$
declare
    v_backfill control.backfills;
    v_last timestamptz;
begin
    select * into v_backfill from control.backfills where id = p_backfill for update;
    if v_backfill.state is distinct from 'running' then
        return;
    end if;
    select max(c.started_at) into v_last from control.backfill_chunks c where c.backfill_id = p_backfill;
    wait_s := extract(epoch from v_last + make_interval(secs => v_backfill.pace_s) - clock_timestamp());
    if wait_s > 0 then
        return next;
        return;
    end if;
    update control.backfill_chunks c set state = 'running', attempts = attempts + 1, started_at = clock_timestamp()
    where c.backfill_id = p_backfill and c.number = (
        select w.number from control.backfill_chunks w
        left join control.runs r on r.id = w.run_id
        where w.backfill_id = p_backfill and (w.state = 'waiting' or (
            w.state = 'running' and w.started_at < clock_timestamp() - interval '2 minutes'
            and coalesce(r.state <> 'running', true)))
        order by w.number limit 1)
    returning c.number, c.args into backfill_take.number, backfill_take.args;
    if found then
        wait_s := null;
        return next;
    end if;
end $$;
comment on function control.backfill_take is 'Takes the next chunk of a running backfill, keeping its pace.';

-- The chunk follows its run: done in the transaction of the last page, to be taken again when the run failed.
create function control.backfill_settle() returns trigger
language plpgsql set search_path = '' as $$
declare
    v_backfill bigint := (new.args ->> 'backfill_id')::bigint;
begin
    update control.backfill_chunks set
        state = case when new.state = 'succeeded' then 'done' when attempts >= 5 or new.state = 'held' then 'failed'
                     else 'waiting' end,
        finished_at = case when new.state = 'succeeded' then clock_timestamp() end
    where backfill_id = v_backfill and number = (new.args ->> 'backfill_chunk')::int and run_id = new.id
      and state = 'running';
    if new.state = 'succeeded' then
        update control.backfills b set state = 'done', finished_at = clock_timestamp()
        where b.id = v_backfill and b.state in ('running', 'paused') and not exists (
            select from control.backfill_chunks c where c.backfill_id = b.id and c.state <> 'done');
    end if;
    return null;
end $$;
comment on function control.backfill_settle is 'Trigger: a chunk ends with its run.';

create function control.backfill_adopt() returns trigger
language plpgsql set search_path = '' as $$
begin
    update control.backfill_chunks set run_id = new.id
    where backfill_id = (new.args ->> 'backfill_id')::bigint and number = (new.args ->> 'backfill_chunk')::int;
    return null;
end $$;
comment on function control.backfill_adopt is 'Trigger: a chunk knows its run as soon as that begins.';

create trigger backfill_adopt after insert on control.runs for each row
    when (new.args ? 'backfill_chunk') execute function control.backfill_adopt();
create trigger backfill_settle after update of state on control.runs for each row
    when (new.args ? 'backfill_chunk' and old.state = 'running' and new.state <> 'running')
    execute function control.backfill_settle();
