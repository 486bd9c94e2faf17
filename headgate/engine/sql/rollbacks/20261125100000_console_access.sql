drop function console.whoami;
drop function console_private.record;
drop table console_private.audit;
drop function console_private.require_admin;
drop function console_private.is_admin;
drop schema console_private;
drop schema console;
