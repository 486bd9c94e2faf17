-- What row-level security policies ask about the caller: the claims of the request, as functions in schema auth.

-- piece: schema auth
-- missing: to_regnamespace('auth') is null
create schema auth;
grant usage on schema auth to anon, authenticated, service_role;

-- piece: schema extensions
-- missing: to_regnamespace('extensions') is null
create schema extensions;
grant usage on schema extensions to anon, authenticated, service_role;

-- piece: function auth.jwt
-- missing: to_regprocedure('auth.jwt()') is null
create function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(nullif(current_setting('request.jwt.claims', true), ''),
                  nullif(current_setting('request.jwt.claim', true), ''))::jsonb
$$;
comment on function auth.jwt() is 'The claims of the caller''s token; null outside a request.';

-- piece: function auth.uid
-- missing: to_regprocedure('auth.uid()') is null
create function auth.uid() returns uuid language sql stable as $$
  select nullif(coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'), '')::uuid
$$;
comment on function auth.uid() is 'The caller''s user id, the claim `sub`; null for nobody.';

-- piece: function auth.role
-- missing: to_regprocedure('auth.role()') is null
create function auth.role() returns text language sql stable as $$
  select nullif(coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'), '')
$$;
comment on function auth.role() is 'The caller''s role, the claim `role`.';

-- piece: function auth.email
-- missing: to_regprocedure('auth.email()') is null
create function auth.email() returns text language sql stable as $$
  select nullif(coalesce(nullif(current_setting('request.jwt.claim.email', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'), '')
$$;
comment on function auth.email() is 'The caller''s e-mail address, the claim `email`.';

-- piece: usage of schema auth by the database's owner
-- missing: not has_schema_privilege((select datdba from pg_database where datname = current_database()), 'auth', 'usage')
do $$
declare
  owner name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
  execute format('grant usage on schema auth, extensions to %I', owner);
end $$;
