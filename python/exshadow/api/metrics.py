"""/metrics for Prometheus. What it tells is in instruments.py."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from exshadow.api.daemon import Here

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
def metrics(here: Here) -> Response:
    """Text exposition format."""
    return Response(generate_latest(here.instruments.registry), media_type=CONTENT_TYPE_LATEST)
