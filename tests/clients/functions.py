"""Every method of supabase-py's functions clients, sync and async, against a running server."""

from __future__ import annotations

import asyncio
import sys

from supabase import acreate_client, create_client
from supabase_functions.errors import FunctionsHttpError, FunctionsRelayError

URL, ANON, USER = sys.argv[1:4]


def read(raw: object) -> object:
    return raw.decode() if isinstance(raw, bytes) else raw


def sync() -> int:
    client = create_client(URL, ANON)
    found = client.functions.invoke("echo", {"body": {"a": 1}, "responseType": "json"})
    assert (found["body"], found["role"]) == ({"a": 1}, "anon"), found
    assert read(client.functions.invoke("text")) == "plain words"
    client.functions.set_auth(USER)
    found = client.functions.invoke("echo", {"body": {}, "responseType": "json"})
    assert found["role"] == "authenticated", found
    for name, kind in (("teapot", FunctionsHttpError), ("nothing", FunctionsRelayError)):
        try:
            client.functions.invoke(name)
        except kind:
            continue
        raise AssertionError(name)
    return 5


async def asynchronous() -> int:
    client = await acreate_client(URL, ANON)
    found = await client.functions.invoke("echo", {"body": {"a": 1}, "responseType": "json"})
    assert (found["body"], found["role"]) == ({"a": 1}, "anon"), found
    assert read(await client.functions.invoke("text")) == "plain words"
    client.functions.set_auth(USER)
    found = await client.functions.invoke("echo", {"body": {}, "responseType": "json"})
    assert found["role"] == "authenticated", found
    for name, kind in (("teapot", FunctionsHttpError), ("nothing", FunctionsRelayError)):
        try:
            await client.functions.invoke(name)
        except kind:
            continue
        raise AssertionError(name)
    return 5


done = sync() + asyncio.run(asynchronous())
print(f"functions.invoke, functions.set_auth: {done} passed, 0 failed")
