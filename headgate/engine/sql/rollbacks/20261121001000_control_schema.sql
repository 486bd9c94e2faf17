revoke usage on schema control from authenticated, service_role;
drop schema control;
