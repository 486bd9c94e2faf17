drop function control.record_drift(text, bigint, bigint, bigint);
drop table control.drift;
drop table control.fields;
