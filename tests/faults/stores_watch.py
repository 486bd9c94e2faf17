"""What a storm over the stores application watches in its database: how jobs look after bulk operations, what is left.

The triggers look when a transaction ends, so they see what any other process would; they change nothing of the product.
"""

from __future__ import annotations

#: Notes each end of a job that leaves an open operation of a live connection to nobody, each second job of one, and
#: each row that goes back: the reconciliation at the end would read it again, so that nothing would be seen then.
WATCH = """
create table public.storm_notes (
    what text, operation bigint, job bigint, kind text, at timestamptz default clock_timestamp()
);
create function public.storm_note() returns trigger language plpgsql security definer set search_path = '' as $$
declare
    v_operation bigint := (new.args ->> 'operation_id')::bigint;
    v_jobs integer;
begin
    if not exists (select from stores.bulk_operations b join stores.connections c on c.id = b.connection_id
                   where b.id = v_operation and b.finished_at is null and c.state in ('connected', 'error')) then
        return null;
    end if;
    select count(*) into v_jobs from control.jobs j
    where j.state in ('scheduled', 'ready', 'running') and (j.args ->> 'operation_id')::bigint = v_operation;
    if v_jobs <> 1 then
        insert into public.storm_notes (what, operation, job, kind)
        values (case v_jobs when 0 then 'left to nobody' else 'two jobs' end, v_operation, new.id, new.kind);
    end if;
    return null;
end $$;
create constraint trigger storm_added after insert on control.jobs deferrable initially deferred
for each row when (new.args ? 'operation_id') execute function public.storm_note();
create constraint trigger storm_ended after update of state on control.jobs deferrable initially deferred
for each row when (new.args ? 'operation_id' and new.state in ('succeeded', 'cancelled', 'failed'))
execute function public.storm_note();
create function public.storm_went_back() returns trigger language plpgsql security definer set search_path = '' as $$
begin
    insert into public.storm_notes (what, kind) values ('a row went back to an older state', tg_table_name);
    return null;
end $$;
create trigger storm_went_back after update on public.shop_orders
for each row when (new.version < old.version) execute function public.storm_went_back();
create trigger storm_went_back after update on public.shop_customers
for each row when (new.version < old.version) execute function public.storm_went_back();
create trigger storm_went_back after update on public.shop_products
for each row when (new.version < old.version) execute function public.storm_went_back();
create trigger storm_went_back after update on public.shop_variants
for each row when (new.version < old.version) execute function public.storm_went_back();
create trigger storm_went_back after update on public.shop_inventory_levels
for each row when (new.version < old.version) execute function public.storm_went_back();
create sequence public.storm_full_database;
create sequence public.storm_full_disk;
create function public.storm_full_disk() returns trigger language plpgsql security definer set search_path = '' as $$
begin perform nextval('public.storm_full_disk'); return null; end $$;
create trigger storm_full_disk after update on control.jobs
for each row when (new.error ~ 'File too large') execute function public.storm_full_disk();
"""
#: How often something failed because the disk or the database was full. A sequence also counts what is rolled back.
FULL_DISK = "select is_called from public.storm_full_disk"
FULL_DATABASE = "select is_called from public.storm_full_database"
NOTES = "select what, operation, job, kind from public.storm_notes order by at"
OPEN = "select exists (select from stores.bulk_operations where finished_at is null)"
BEGUN = "select exists (select from control.workers where name = %s)"
HOLDS = """
select exists (select from control.jobs j join control.workers w on w.id = j.worker
               where j.state = 'running' and w.name = %s and j.kind like 'stores.%%')
"""
#: How many jobs the timetable had to add for syncs that had none.
TAKEN_UP = """
select coalesce(sum((result ->> 'taken_up')::integer), 0) from control.jobs where kind = 'stores.inbox_care'
"""
#: Counts of what may not be there in the end.
STUCK = {
    "runs never ended": "select count(*) from stores.sync_runs where state = 'running'",
    "operations of an open run never ended": "select count(*) from stores.bulk_operations where finished_at is null",
    "webhooks wait": "select count(*) from stores.webhook_inbox where state = 'received'",
    "jobs are left": "select count(*) from control.jobs where kind like 'stores.%%'"
    " and state in ('scheduled', 'ready', 'running')",
    "privacy requests wait": "select count(*) from stores.gdpr_requests where state <> 'done'",
}
