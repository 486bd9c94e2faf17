"""Quotas: exact in sum over processes, given back when unused, mostly without the database."""

from __future__ import annotations

import asyncio

from headgate.db import Database
from headgate.db.quota import Quotas


async def test_sum_over_processes_never_exceeds_the_limit(database: Database) -> None:
    processes = [Quotas(database) for _ in range(3)]
    answers = await asyncio.gather(*(processes[n % 3].take("ip:192.0.2.1", 100) for n in range(400)))
    assert sum(answer.allowed for answer in answers) <= 100
    for one in processes:
        await one.give_back()
    used = await database.fetch_value("select used from control.quotas where bucket = 'ip:192.0.2.1'")
    assert sum(answer.allowed for answer in answers) == used


async def test_one_process_allows_exactly_the_limit(database: Database) -> None:
    quotas = Quotas(database)
    answers = [await quotas.take("key:1", 50) for _ in range(60)]
    assert [answer.allowed for answer in answers] == [True] * 50 + [False] * 10
    assert [answer.remaining for answer in answers[:3]] == [49, 48, 47]
    headers = answers[-1].headers()
    assert headers["X-RateLimit-Limit"] == "50" and headers["X-RateLimit-Remaining"] == "0"
    assert int(headers["Retry-After"]) >= 1


async def test_concurrent_takes_in_one_process_are_exact(database: Database) -> None:
    quotas = Quotas(database)
    answers = await asyncio.gather(*(quotas.take("key:2", 30) for _ in range(90)))
    assert sum(answer.allowed for answer in answers) == 30


async def test_unspent_lease_returns(database: Database) -> None:
    quotas = Quotas(database)
    await quotas.take("key:3", 1000)
    await quotas.give_back()
    assert await database.fetch_value("select used from control.quotas where bucket = 'key:3'") == 1


async def test_refund_gives_the_request_back(database: Database) -> None:
    quotas = Quotas(database)
    first = await quotas.take("key:4", 10)
    quotas.refund("key:4")
    second = await quotas.take("key:4", 10)
    assert first.remaining == second.remaining == 9
