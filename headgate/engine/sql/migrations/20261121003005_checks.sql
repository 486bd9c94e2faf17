-- Findings of data-quality checks, and batches kept for a person. Held rows are copied to a logged table: a person
-- may take days, and staging does not survive a crash.
create table control.findings (
    id         bigint generated always as identity primary key,
    run_id     bigint      not null references control.runs on delete cascade,
    batch_id   bigint      not null,
    check_name text        not null,
    action     text        not null check (action in ('stop', 'hold', 'warn')),
    message    text        not null default '',
    finding    jsonb,
    at         timestamptz not null default now()
);
create index findings_by_run on control.findings (run_id);
comment on table control.findings is 'What checks found: one row per check and batch that was not well.';

create table control.holds (
    id         bigint generated always as identity primary key,
    run_id     bigint      not null references control.runs on delete cascade,
    batch_id   bigint      not null unique,
    app        text        not null,
    source     text        not null,
    key        text        not null,
    check_name text        not null,
    rows       bigint      not null,
    state      text        not null default 'waiting' check (state in ('waiting', 'released', 'discarded')),
    created_at timestamptz not null default now(),
    decided_at timestamptz,
    decided_by text
);
create index holds_waiting on control.holds (source, key) where state = 'waiting';
create index holds_by_run on control.holds (run_id);
comment on table control.holds is 'Batches that a check held back, until a person releases or discards them.';

create table control.held_rows (
    hold_id bigint not null references control.holds on delete cascade,
    line    bigint not null,
    doc     jsonb  not null,
    primary key (hold_id, line)
);
comment on table control.held_rows is 'The rows of a held batch, as they were staged.';

grant select, insert, update, delete on control.findings, control.holds, control.held_rows to service_role;
grant select on control.findings to authenticated;
alter table control.findings enable row level security;
alter table control.holds enable row level security;
alter table control.held_rows enable row level security;
create policy findings_service on control.findings for all to service_role using (true) with check (true);
create policy findings_own on control.findings for select to authenticated
    using (exists (select from control.runs r where r.id = run_id and r.owner = (select auth.uid())));
create policy holds_service on control.holds for all to service_role using (true) with check (true);
create policy held_rows_service on control.held_rows for all to service_role using (true) with check (true);

-- In the promote transaction, in place of applying: the run ends held, the cursor stays.
create function control.hold_batch(p_run bigint, p_batch bigint, p_check text) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_hold bigint;
    v_step control.run_steps;
begin
    update control.run_steps set state = 'held' where id = p_batch returning * into v_step;
    insert into control.holds (run_id, batch_id, app, source, key, check_name, rows)
    select p_run, p_batch, app, source, key, p_check, v_step.staged from control.runs where id = p_run
    returning id into v_hold;
    insert into control.held_rows (hold_id, line, doc)
    select v_hold, line, doc from stage.rows where batch_id = p_batch and line > 0;
    delete from stage.rows s using control.run_steps b where b.run_id = p_run and s.batch_id = b.id;
    update control.runs set state = 'held', pages = pages + 1, seen = seen + v_step.seen,
        rejected = rejected + v_step.rejected, held = held + v_step.staged,
        finished_at = now(), heartbeat_at = now(),
        error = jsonb_build_object('code', 'HG504', 'message', format('Held by the check %s.', p_check))
    where id = p_run;
    perform control.run_notify(p_run);
    return v_hold;
end $$;
comment on function control.hold_batch is 'Keeps a batch for a person and ends its run as held.';

-- Stages the rows of a hold again, as a batch of a new run.
create function control.hold_restage(p_hold bigint, p_batch bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_rows bigint;
begin
    perform 1 from control.holds where id = p_hold and state = 'waiting' for update;
    if not found then
        raise exception using errcode = 'HG505', message = format('Hold %s is not waiting for a decision.', p_hold);
    end if;
    insert into stage.rows (batch_id, line, doc)
    select p_batch, line, doc from control.held_rows where hold_id = p_hold;
    get diagnostics v_rows = row_count;
    return v_rows;
end $$;
comment on function control.hold_restage is 'Copies the rows of a waiting hold into a new batch; returns how many.';

create function control.hold_decide(p_hold bigint, p_state text, p_by text) returns void
language plpgsql set search_path = '' as $$
begin
    update control.holds set state = p_state, decided_at = now(), decided_by = p_by
    where id = p_hold and state = 'waiting';
    if not found then
        raise exception using errcode = 'HG505', message = format('Hold %s is not waiting for a decision.', p_hold);
    end if;
    delete from control.held_rows where hold_id = p_hold;
end $$;
comment on function control.hold_decide is 'Records a decision (released or discarded) and drops the held rows; HG505 if one was taken.';
