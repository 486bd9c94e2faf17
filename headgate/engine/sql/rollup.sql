-- name: settings
select set_config('TimeZone', 'UTC', true), set_config('work_mem', '64MB', true)

-- name: take
-- Locks the marks; the next statement's snapshot is then later than every change that made them.
select key, since::text as mark, set_config('TimeZone', 'UTC', true), set_config('work_mem', '64MB', true)
from control.rollup_dirty where rollup = %(rollup)s
order by since limit %(limit)s for update skip locked

-- name: forget
delete from control.rollup_dirty d
using jsonb_to_recordset(%(marks)s) m (key jsonb, since timestamptz)
where d.rollup = %(rollup)s and d.key = m.key and d.since = m.since

-- name: forget_all
delete from control.rollup_dirty where rollup = %(rollup)s

-- name: waiting
select n.rollup, count(d.rollup) as keys
from unnest(%(names)s::text[]) n (rollup) left join control.rollup_dirty d using (rollup) group by n.rollup
