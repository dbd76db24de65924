"""Functions that build the records and pages of a list."""

from __future__ import annotations

from datetime import datetime, timezone

from .scripted_server import http_response

RESPONDED_AT = datetime(2026, 8, 17, 6, 40, 12, tzinfo=timezone.utc)


def page(records, number, total, more):
    links = {"next": f"/v4/104857/extractions?page={number + 1}"} if more else {}
    return http_response({"data": records, "page": number, "total": total, "links": links})
