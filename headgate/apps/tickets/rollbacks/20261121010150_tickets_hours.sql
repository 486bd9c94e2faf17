drop function tickets.hour_rows(bigint, timestamptz);
drop function tickets.verdicts(bigint, timestamptz, tickets.instant[]);
drop type tickets.verdict;
drop function tickets.changes(bigint, timestamptz, tickets.instant[]);
drop type tickets.change;
drop function tickets.instants(bigint, timestamptz);
drop type tickets.instant;
drop function tickets.sketch_key(integer);
