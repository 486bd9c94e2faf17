-- name: copy_rows
copy stage.rows (batch_id, line, doc) from stdin (format binary)

-- name: copy_raw
copy stage.raw (batch_id, line, raw) from stdin

-- name: reject
insert into control.rejects (run_id, batch_id, line, reason, raw, raw_bytes)
values (%(run)s, %(batch)s, %(line)s, %(reason)s, %(raw)s, %(size)s)

-- name: sort_raw
-- Malformed lines to the rejects, the others to the stage.
with judged as materialized (
    select line, raw, control.json_problem(raw) as problem from stage.raw where batch_id = %(batch)s
), good as (
    insert into stage.rows (batch_id, line, doc)
    select %(batch)s, line, case when problem is null then raw::jsonb end from judged where problem is null
    returning 1
), bad as (
    insert into control.rejects (run_id, batch_id, line, reason, raw, raw_bytes)
    select %(run)s, %(batch)s, line, left(problem, 500), left(raw, 4096), octet_length(raw)
    from judged where problem is not null order by line
    limit greatest(1000 - (select count(*) from control.rejects where batch_id = %(batch)s), 0)
)
select (select count(*) from good) as staged, count(*) filter (where problem is not null) as malformed from judged

-- name: clear_raw
delete from stage.raw where batch_id = %(batch)s

-- name: staged
select control.step_staged(%(batch)s, %(run)s, %(number)s, %(name)s, %(seen)s, %(staged)s, %(rejected)s, %(bytes)s,
                           %(meta)s, %(next)s)

-- name: drift
select control.record_drift(%(source)s, %(run)s, %(batch)s, %(rows)s)
