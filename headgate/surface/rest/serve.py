"""`python -m headgate.surface.rest.serve`: the REST surface alone, configured by PostgREST's own variables."""

from __future__ import annotations

import os

import uvicorn

from headgate.surface.gateway import create_surface
from headgate.surface.rest.settings import RestSettings, from_environment


def serve(settings: RestSettings, *, host: str, port: int, prefix: str) -> None:
    """Serve until told to stop."""
    app = create_surface(settings, prefix=prefix)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)


def main() -> None:
    """Serve on PGRST_SERVER_HOST and PGRST_SERVER_PORT, below HEADGATE_REST_PREFIX."""
    serve(
        from_environment(os.environ),
        host=os.environ.get("PGRST_SERVER_HOST", "127.0.0.1"),
        port=int(os.environ.get("PGRST_SERVER_PORT", "3000")),
        prefix=os.environ.get("HEADGATE_REST_PREFIX", ""),
    )


if __name__ == "__main__":
    main()
