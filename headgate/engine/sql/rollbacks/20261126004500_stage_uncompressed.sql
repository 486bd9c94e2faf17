alter table stage.rows reset (toast_tuple_target);
