"""Users move to another database by pg_dump and psql, with their passwords, as between hosted Supabase and here."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import bcrypt

from headgate.db import Database
from headgate.db.binaries import find
from headgate.testing.database import TestCluster
from tests.auth_server import PASSWORD, running

TABLES = ["-t", "auth.users", "-t", "auth.identities"]
#: A row as hosted Supabase writes it: a hash of cost 10, empty texts where there is no token.
HOSTED = """
insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token,
    recovery_token, email_change_token_new, email_change, raw_app_meta_data, raw_user_meta_data, is_super_admin,
    created_at, updated_at)
values ('00000000-0000-0000-0000-000000000000', '5f0c2b1e-0000-4000-8000-000000000001', 'authenticated',
    'authenticated', 'hosted@example.com', %(hash)s, now(), '', '', '', '',
    '{"provider": "email", "providers": ["email"]}', '{}', null, now(), now());
insert into auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
values ('5f0c2b1e-0000-4000-8000-000000000001', '5f0c2b1e-0000-4000-8000-000000000001',
    '{"sub": "5f0c2b1e-0000-4000-8000-000000000001", "email": "hosted@example.com"}', 'email', now(), now());
"""


async def tool(name: str, *arguments: str, given: str = "") -> str:
    program = str((await asyncio.to_thread(find)).program(name))
    done = await asyncio.to_thread(
        lambda: subprocess.run(
            [program, *arguments], input=given, capture_output=True, text=True, check=False
        )
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_users_and_password_hashes_move_by_dump_and_restore(
    database: Database, cluster: TestCluster, tmp_path: Path
) -> None:
    async with running(database, tmp_path, auth_autoconfirm=True) as auth:
        before = (await auth.sign_up(data={"name": "A"}))["user"]
    hashed = bcrypt.hashpw(b"allmine", bcrypt.gensalt(10, prefix=b"2a")).decode()
    for statement in HOSTED.split(";\n"):
        await database.execute(statement.replace("%(hash)s", f"'{hashed}'"))
    dumped = await tool("pg_dump", "--data-only", *TABLES, "--dbname", database.url)
    assert PASSWORD not in dumped and "$2a$" in dumped
    async with cluster.database() as other:
        await tool("psql", "-v", "ON_ERROR_STOP=1", "-q", "--dbname", other.url, given=dumped)
        async with running(other, tmp_path / "other") as auth:
            for email, password in (("a@example.com", PASSWORD), ("hosted@example.com", "allmine")):
                body = {"email": email, "password": password}
                answer = await auth.post("/token?grant_type=password", body)
                assert answer.status_code == 200, answer.text
                user = answer.json()["user"]
                assert user["identities"][0]["identity_data"]["email"] == email
                if email == "a@example.com":
                    assert (user["id"], user["user_metadata"]) == (before["id"], before["user_metadata"])
