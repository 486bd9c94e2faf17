"""How `headgate up --demo` runs the simulated marketplace and points the application at it."""

from __future__ import annotations

from headgate.engine.manifest import Demo

EVENTS = 12
LISTINGS = 90
PACE = 40.0


def demo(port: int) -> Demo:
    """The simulator on `port`: a dozen events whose markets move forty times faster than real ones, polled
    with promises shortened alike, and one answer in fifty spoilt."""
    url = f"http://127.0.0.1:{port}"
    return Demo(
        arguments=(
            "tickets",
            "simulate",
            "--port",
            str(port),
            "--events",
            str(EVENTS),
            "--listings",
            str(LISTINGS),
            "--pace",
            str(PACE),
            "--errors",
            "0.02",
        ),
        url=url,
        ready_path="/robots.txt",
        environment={
            "HEADGATE_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{port}",
            "HEADGATE_TICKETS_VIVID_URL": url,
            "HEADGATE_TICKETS_TIME_SCALE": str(PACE),
            "HEADGATE_TICKETS_RATE_PER_S": "10",
            "HEADGATE_TICKETS_SWEEP_S": "400",
        },
    )
