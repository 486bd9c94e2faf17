-- Staged rows are read field by field, and one that is compressed is unpacked for each field: keep them as they come.
alter table stage.rows set (toast_tuple_target = 8160);
