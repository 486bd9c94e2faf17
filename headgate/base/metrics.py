"""The process's counters in Prometheus form. Each metric is declared here once, with its unit in its name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

JOBS = Counter(
    "headgate_jobs_total", "Jobs settled, by kind and outcome.", ["kind", "outcome"], registry=REGISTRY
)
JOB_SECONDS = Histogram("headgate_job_seconds", "How long a job's handler ran.", ["kind"], registry=REGISTRY)
FETCHES = Counter(
    "headgate_fetches_total",
    "Requests to upstreams, by host and outcome.",
    ["host", "outcome"],
    registry=REGISTRY,
)
FETCH_SECONDS = Histogram("headgate_fetch_seconds", "How long an upstream took.", ["host"], registry=REGISTRY)
ROWS = Counter("headgate_rows_total", "Rows by source and fate.", ["source", "fate"], registry=REGISTRY)
REQUESTS = Counter(
    "headgate_requests_total", "Answers by route and status.", ["route", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "headgate_request_seconds", "How long an answer took.", ["route"], registry=REGISTRY
)
POOL_WAITING = Gauge(
    "headgate_pool_waiting", "Requests waiting for a database connection.", registry=REGISTRY
)
STORAGE_MISSING = Gauge(
    "headgate_storage_missing_objects",
    "Objects whose bytes the last sweep found missing or of another size.",
    registry=REGISTRY,
)


def render() -> bytes:
    """The current values in the Prometheus text format."""
    return generate_latest(REGISTRY)
