"""`python -m headgate.surface.rest.serve`: the REST surface alone, configured by PostgREST's own variables."""

from __future__ import annotations

import argparse
import os

import uvicorn

from headgate.surface.gateway import Surface, create_surface
from headgate.surface.rest.settings import from_environment


def app() -> Surface:
    """The application of one process, from the environment; below HEADGATE_REST_PREFIX."""
    return create_surface(from_environment(os.environ), prefix=os.environ.get("HEADGATE_REST_PREFIX", ""))


def main() -> None:
    """Serve on PGRST_SERVER_HOST and PGRST_SERVER_PORT until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1, help="server processes; each has a pool of its own")
    uvicorn.run(
        "headgate.surface.rest.serve:app",
        factory=True,
        host=os.environ.get("PGRST_SERVER_HOST", "127.0.0.1"),
        port=int(os.environ.get("PGRST_SERVER_PORT", "3000")),
        workers=parser.parse_args().workers,
        http="headgate.surface.http:Protocol",
        proxy_headers=False,
        log_level="warning",
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
