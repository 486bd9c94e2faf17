-- The roles that Supabase clients speak as. Hosted Supabase has them; elsewhere they are made.

-- piece: role anon
-- missing: to_regrole('anon') is null
create role anon nologin noinherit;

-- piece: role authenticated
-- missing: to_regrole('authenticated') is null
create role authenticated nologin noinherit;

-- piece: role service_role
-- missing: to_regrole('service_role') is null
create role service_role nologin noinherit bypassrls;

-- piece: role authenticator
-- missing: to_regrole('authenticator') is null
create role authenticator login noinherit;

-- piece: members of authenticator
-- missing: not (pg_has_role('authenticator', 'anon', case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) and pg_has_role('authenticator', 'authenticated', case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) and pg_has_role('authenticator', 'service_role', case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end))
grant anon, authenticated, service_role to authenticator;

-- piece: members of the database's owner
-- missing: (select not rolsuper and not (pg_has_role(oid, 'anon', case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) and pg_has_role(oid, 'authenticated', case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) and pg_has_role(oid, 'service_role', case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end)) from pg_roles where oid = (select datdba from pg_database where datname = current_database()))
do $$
declare
  owner name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
  execute format('grant anon, authenticated, service_role to %I', owner);
end $$;

-- piece: usage of schema public
-- missing: not (has_schema_privilege('anon', 'public', 'usage') and has_schema_privilege('authenticated', 'public', 'usage') and has_schema_privilege('service_role', 'public', 'usage'))
grant usage on schema public to anon, authenticated, service_role;
