"""Sample calls to the endpoints for sessions and destinations."""

from __future__ import annotations

from datetime import datetime, timezone

from . import endpoint_samples as more
from . import samples

# Each row contains a name, a call, the expected request, the expected JSON, the response body, and a check
# of the result.
DESTINATION_CALLS = [
    (
        "create_ephemeral_token",
        lambda c: c.create_ephemeral_token(),
        "POST /v3/sessions/ephemeral",
        None,
        more.EPHEMERAL,
        lambda token: (
            token.ephemeral_token.reveal() == "eph-0011223344"
            and token.expires_at == datetime(2026, 8, 17, 7, 40, 12, tzinfo=timezone.utc)
        ),
    ),
    (
        "list_destination_types",
        lambda c: c.list_destination_types(),
        "GET /v4/destination-types",
        None,
        [more.REPORT_CARD, more.OLD_TYPE],
        lambda types: (
            [each.type for each in types] == ["platform.closeio", "platform.old"] and types[1].steps == ()
        ),
    ),
    (
        "get_destination_type",
        lambda c: c.get_destination_type("snow flake"),
        "GET /v4/destination-types/snow%20flake",
        None,
        more.REPORT_CARD,
        lambda card: card.details.access is True,
    ),
    (
        "list_destinations",
        lambda c: c.list_destinations(source_id=310442, destination_id=155901),
        "GET /v4/destinations?source_id=310442&destination_id=155901",
        None,
        [samples.DESTINATION],
        lambda found: [each.label for each in found] == ["Staging (155901)"],
    ),
    (
        "create_destination",
        lambda c: c.create_destination(
            "postgres",
            {"host": "pg.acme.example", "port": "5432"},
            name="Staging",
            description="Of the staging environment.",
            ignore_unmapped_sources=True,
        ),
        "POST /v4/destinations",
        {
            "type": "postgres",
            "properties": {"host": "pg.acme.example", "port": "5432"},
            "name": "Staging",
            "description": "Of the staging environment.",
            "ignore_unmapped_sources": True,
        },
        samples.DESTINATION,
        lambda destination: (
            destination.id == 155901
            and destination.properties["port"] == "5432"
            and destination.report_card.current_step == "fully_configured"
        ),
    ),
    (
        "update_destination",
        lambda c: c.update_destination(155901, {"port": "5433"}),
        "PUT /v4/destinations/155901",
        {"properties": {"port": "5433"}},
        {**samples.DESTINATION, "check_job_name": "104857.155901.check.x"},
        lambda destination: destination.check_job_name == "104857.155901.check.x",
    ),
    (
        "delete_destination",
        lambda c: c.delete_destination(155901),
        "DELETE /v4/destinations/155901",
        None,
        {},
        lambda nothing: nothing is None,
    ),
    (
        "get_last_destination_check",
        lambda c: c.get_last_destination_check(155901),
        "GET /v4/destinations/155901/last-connection-check",
        None,
        more.DESTINATION_CHECK,
        lambda check: check.status == "succeeded",
    ),
    (
        "list_destinations_v3",
        lambda c: c.list_destinations_v3(),
        "GET /v3/destinations",
        None,
        [more.DESTINATION_V3],
        lambda found: found[0].connection["port"] == "5432" and found[0].last_check["error"] is False,
    ),
    (
        "create_destination_v3",
        lambda c: c.create_destination_v3("postgres", {"port": "5432"}),
        "POST /v3/destinations",
        {"type": "postgres", "connection": {"port": "5432"}},
        more.DESTINATION_V3,
        lambda destination: destination.id == 155901,
    ),
    (
        "update_destination_v3",
        lambda c: c.update_destination_v3(155901, "postgres", {"port": "5433"}),
        "PUT /v3/destinations/155901",
        {"type": "postgres", "connection": {"port": "5433"}},
        more.DESTINATION_V3,
        lambda destination: destination.type == "postgres",
    ),
]
