drop function control.record_drift(text, bigint, bigint, bigint);
drop function control.json_type(jsonb);
drop table control.drift;
drop table control.fields;
