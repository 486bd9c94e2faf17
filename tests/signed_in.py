"""Sessions for tests that are not about signing in: made by the server's own code, without a password."""

from __future__ import annotations

import uuid
from typing import Any

from tests.auth_server import PASSWORD, Auth


async def new_user(auth: Auth, email: str = "a@example.com") -> str:
    """The id of the user with this address, made if need be."""
    known = await auth.database.fetch_value("select id::text from auth.users where email = %s", (email,))
    if known:
        return str(known)
    answer = await auth.post(
        "/admin/users", {"email": email, "email_confirm": True, "password": PASSWORD}, token=auth.service
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def new_session(auth: Auth, email: str = "a@example.com") -> dict[str, Any]:
    """A session of this user, as if they came from a provider: the code of a PKCE sign-in, redeemed."""
    user_id = await new_user(auth, email)
    code, verifier = str(uuid.uuid4()), "v" * 43
    await auth.database.execute(
        "insert into auth.flow_state (id, user_id, auth_code, code_challenge_method, code_challenge, provider_type,"
        " created_at, updated_at, authentication_method, auth_code_issued_at)"
        " values (gen_random_uuid(), %s, %s, 'plain', %s, 'company', now(), now(), 'oauth', now())",
        (user_id, code, verifier),
    )
    answer = await auth.post("/token?grant_type=pkce", {"auth_code": code, "code_verifier": verifier})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
