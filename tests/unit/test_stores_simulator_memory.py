"""A bulk file is made as a stream: ten times the orders take no more memory than a few bytes for each.

`STORES_SIMULATOR_ORDERS=112000` makes a file of a million lines.
"""

from __future__ import annotations

import os
import subprocess
import sys

ORDERS = int(os.environ.get("STORES_SIMULATOR_ORDERS", "4000"))
SCRIPT = """
import asyncio, resource, sys, time
from pathlib import Path
from headgate.apps.stores.simulator import ShopOptions, Simulator

QUERY = '''{ orders { edges { node { id updatedAt currentTotalPriceSet { shopMoney { amount currencyCode } }
  lineItems { edges { node { id quantity originalUnitPriceSet { shopMoney { amount } } } } }
  shippingLines { edges { node { id } } }
  agreements { edges { node { id happenedAt reason sales { edges { node { id actionType lineType quantity
    totalAmount { shopMoney { amount } presentmentMoney { amount } } totalTaxAmount { shopMoney { amount } } } } } } } }
} } } }'''

async def main(orders):
    simulator = Simulator([ShopOptions(seed=3, orders=orders, opened_at=1_790_000_000)])
    bulk = simulator.outlet.bulk
    operation, errors = bulk.run(QUERY, version="2026-07", scopes=frozenset(["read_orders", "read_all_orders"]),
                                 grouped=False, base_url="http://127.0.0.1", app="sim-client")
    assert not errors, errors
    begun = time.monotonic()
    while operation.completed_at is None:
        await asyncio.sleep(0.01)
    with operation.path.open("rb") as file:
        assert sum(1 for _ in file) == operation.objects
    seconds = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    await simulator.close()
    print(operation.objects, peak, round(operation.objects / seconds))

asyncio.run(main(int(sys.argv[1])))
"""


def peak(orders: int) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(orders)], capture_output=True, text=True, check=True
    )
    lines, megabytes, per_s = (int(word) for word in done.stdout.split())
    print(f"{orders} orders: {lines} lines, peak {megabytes} MB, {per_s} lines/s")
    return lines, megabytes


def test_ten_times_the_orders_take_no_more_memory() -> None:
    few, small = peak(ORDERS // 10)
    many, large = peak(ORDERS)
    assert many > 8 * few
    assert large - small < 12 + ORDERS * 200 / 1e6  # a few numbers for each order's place in the index
