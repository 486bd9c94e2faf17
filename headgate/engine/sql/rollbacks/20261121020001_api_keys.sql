drop function control.revoke_api_key(bigint);
drop function control.verify_api_key(bytea);
drop function control.create_api_key(text, text, text, bytea);
drop table control.api_keys;
