drop function control.verify_visitor(bytea);
drop function control.create_visitor(bytea);
drop table control.visitors;
