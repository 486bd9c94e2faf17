"""The auth tables: hosted Supabase's columns, owned by the database's owner, out of clients' reach."""

from __future__ import annotations

from uuid import uuid4

import pytest

from headgate.db import Database, errors

TABLES = (
    "audit_log_entries", "flow_state", "identities", "instances", "mfa_amr_claims", "mfa_challenges", "mfa_factors",
    "oauth_client_states", "one_time_tokens", "refresh_tokens", "sessions", "users", "webauthn_challenges",
    "webauthn_credentials",
)  # fmt: skip
USER_COLUMNS = {
    "instance_id": "uuid", "id": "uuid", "aud": "character varying(255)", "role": "character varying(255)",
    "email": "character varying(255)", "encrypted_password": "character varying(255)",
    "email_confirmed_at": "timestamp with time zone", "invited_at": "timestamp with time zone",
    "confirmation_token": "character varying(255)", "confirmation_sent_at": "timestamp with time zone",
    "recovery_token": "character varying(255)", "recovery_sent_at": "timestamp with time zone",
    "email_change_token_new": "character varying(255)", "email_change": "character varying(255)",
    "email_change_sent_at": "timestamp with time zone", "last_sign_in_at": "timestamp with time zone",
    "raw_app_meta_data": "jsonb", "raw_user_meta_data": "jsonb", "is_super_admin": "boolean",
    "created_at": "timestamp with time zone", "updated_at": "timestamp with time zone", "phone": "text",
    "phone_confirmed_at": "timestamp with time zone", "phone_change": "text",
    "phone_change_token": "character varying(255)", "phone_change_sent_at": "timestamp with time zone",
    "confirmed_at": "timestamp with time zone", "email_change_token_current": "character varying(255)",
    "email_change_confirm_status": "smallint", "banned_until": "timestamp with time zone",
    "reauthentication_token": "character varying(255)", "reauthentication_sent_at": "timestamp with time zone",
    "is_sso_user": "boolean", "deleted_at": "timestamp with time zone", "is_anonymous": "boolean",
}  # fmt: skip


async def test_auth_tables_are_all_there_and_belong_to_the_owner_of_the_database(database: Database) -> None:
    rows = await database.fetch_all(
        "select relname, relrowsecurity, pg_get_userbyid(relowner) as owner from pg_class"
        " where relnamespace = 'auth'::regnamespace and relkind = 'r' order by 1"
    )
    assert tuple(row["relname"] for row in rows) == TABLES
    owner = await database.fetch_value(
        "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    )
    assert {row["owner"] for row in rows} == {owner}
    assert all(row["relrowsecurity"] for row in rows)
    assert await database.fetch_value("select rolsuper from pg_roles where rolname = current_user") is False


async def test_auth_users_has_the_columns_of_hosted_supabase(bare_database: Database) -> None:
    rows = await bare_database.fetch_all(
        "select attname, format_type(atttypid, atttypmod) as type from pg_attribute"
        " where attrelid = 'auth.users'::regclass and attnum > 0 and not attisdropped"
    )
    assert {row["attname"]: row["type"] for row in rows} == USER_COLUMNS


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_auth_tables_and_keys_are_out_of_clients_reach(database: Database, role: str) -> None:
    rows = await database.fetch_all(
        "select c.oid::regclass::text as name from pg_class c where c.relkind in ('r', 'v', 'S')"
        " and (c.relnamespace = 'auth'::regnamespace or c.oid::regclass::text in ('control.signing_keys',"
        " 'control.auth_attempts', 'mail_inbox'))"
        " and case when c.relkind = 'S' then has_sequence_privilege(%(role)s, c.oid, 'usage, select, update')"
        " else has_any_column_privilege(%(role)s, c.oid, 'select, insert, update')"
        " or has_table_privilege(%(role)s, c.oid, 'delete, truncate') end",
        {"role": role},
    )
    assert rows == []


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_mail_is_read_by_administrators_and_services_alone(database: Database, role: str) -> None:
    await database.execute(
        "insert into control.mail (kind, recipient, subject, text, state)"
        " values ('recovery', 'a@example.com', 'Choose a new password', 'Follow the link', 'inbox')"
    )
    try:
        async with database.as_role({"role": role, "sub": str(uuid4())}) as conn:
            seen = await (await conn.execute("select * from control.mail")).fetchall()
    except errors.InsufficientPrivilege:
        seen = []
    assert seen == []
    async with database.as_role({"role": "service_role"}) as conn:
        assert len(await (await conn.execute("select * from public.mail_inbox")).fetchall()) == 1
    with pytest.raises(errors.InsufficientPrivilege):
        async with database.as_role({"role": role, "sub": str(uuid4())}) as conn:
            await conn.execute("delete from control.mail")


async def test_auth_confirmed_at_is_the_earlier_of_both(database: Database) -> None:
    await database.execute(
        "insert into auth.users (id, email_confirmed_at, phone_confirmed_at)"
        " values (gen_random_uuid(), '2026-01-02', '2026-01-01')"
    )
    assert (await database.fetch_value("select confirmed_at from auth.users")).day == 1
