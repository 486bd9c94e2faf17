"""Celery's side of the queue measurement; runs in an environment of its own. `PEER_REDIS` is the broker's URL."""

import os
import sys
import time

from celery import Celery

app = Celery("bench", broker=os.environ["PEER_REDIS"])
app.conf.update(
    task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True
)
_times = None


def _redis():
    global _times  # noqa: PLW0603 one connection for each worker process
    if _times is None:
        import redis

        _times = redis.Redis.from_url(os.environ["PEER_REDIS"])
    return _times


@app.task(name="noop")
def noop(number: int, count: int, sent: float = 0.0) -> None:
    """Nothing, except that the first and the last few note the time; with `sent`, every one notes its wait."""
    now = time.time()
    if sent:
        _redis().rpush("bench:waits", (now - sent) * 1000)
    elif number < 4 or number >= count - 40:
        _redis().rpush("bench:times", now)


if __name__ == "__main__":
    step, total = sys.argv[1], int(sys.argv[2])
    started = time.perf_counter()
    with app.connection_for_write() as connection, app.amqp.producer_pool.acquire(block=True) as producer:
        for n in range(total):
            noop.apply_async((n, total, time.time() if step == "send" else 0.0), producer=producer)
            if step == "send":
                time.sleep(float(sys.argv[3]))
    print(time.perf_counter() - started, flush=True)
