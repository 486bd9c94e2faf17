"""`GET /api/sync/{brandId}/status`, told by one SQL function under the caller's rights; and the widget's file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import UUID

from fastapi import APIRouter, Request, Response

from headgate.apps.stores.answers import Gate, not_found
from headgate.db import Database

WIDGET = Path(__file__).parent / "pages" / "widget.js"
STATUS = "select stores.sync_status(%s)::text as status"


def add(made: APIRouter, db: Database, gate: Gate) -> None:
    """Add both endpoints."""
    script = WIDGET.read_bytes()
    tag = f'"{hashlib.sha256(script).hexdigest()[:20]}"'

    @made.get("/sync/{brand_id}/status", summary="How a brand's sync stands")
    async def status(request: Request, brand_id: str) -> Response:
        """Milestones, progress, coverage and what is expected; 404 for a brand that the caller does not see."""
        claims = await gate.claims(request)
        try:
            brand = UUID(brand_id)
        except ValueError:
            raise not_found("brand") from None
        async with db.as_role(claims) as conn:
            row = await (await conn.execute(STATUS, (brand,))).fetchone()
        if row is None or row["status"] is None:
            raise not_found("brand")
        return Response(row["status"], media_type="application/json", headers={"Cache-Control": "no-store"})

    @made.get("/stores/widget.js", summary="The progress widget")
    async def widget(request: Request) -> Response:
        """A module that defines `<headgate-sync-progress>`; needs nothing else."""
        headers = {
            "Cache-Control": "public, max-age=300",
            "ETag": tag,
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(script, media_type="text/javascript", headers=headers)
