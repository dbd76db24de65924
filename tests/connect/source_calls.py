"""Sample calls to the endpoints for sources, streams and jobs."""

from __future__ import annotations

import re

from airflow_provider_stitch.connect.objects import StreamUpdate

from . import endpoint_samples as more
from . import samples

# Each row contains a name, a call, the expected request, the expected JSON, the response body, and a check
# of the result.
SOURCE_CALLS = [
    (
        "list_source_types",
        lambda c: c.list_source_types(),
        "GET /v4/source-types",
        None,
        [more.REPORT_CARD, more.OLD_TYPE],
        lambda types: (
            types[0].upgrade_available == "platform.closeio-2" and types[0].missing_properties == ("api_key",)
        ),
    ),
    (
        "get_source_type",
        lambda c: c.get_source_type("platform.hubspot"),
        "GET /v4/source-types/platform.hubspot",
        None,
        more.REPORT_CARD,
        lambda card: [step.type for step in card.steps][-1] == "fully_configured",
    ),
    (
        "list_sources",
        lambda c: c.list_sources(),
        "GET /v4/sources",
        None,
        [samples.SOURCE],
        lambda sources: sources[0].report_card.current_step == "fully_configured",
    ),
    (
        "get_source",
        lambda c: c.get_source(310442),
        "GET /v4/sources/310442",
        None,
        samples.SOURCE,
        lambda source: source.label == "github (310442)",
    ),
    (
        "create_source",
        lambda c: c.create_source(
            "platform.github",
            "GitHub",
            properties={"start_date": "2025-01-01T00:00:00Z", "cron_expression": None},
            destination_id=155901,
        ),
        "POST /v4/sources",
        {
            "type": "platform.github",
            "display_name": "GitHub",
            "properties": {"start_date": "2025-01-01T00:00:00Z", "cron_expression": None},
            "destination_id": 155901,
        },
        samples.SOURCE,
        lambda source: source.id == 310442,
    ),
    (
        "update_source",
        lambda c: c.update_source(310442, display_name="Code", properties={"frequency_in_minutes": "30"}),
        "PUT /v4/sources/310442",
        {"display_name": "Code", "properties": {"frequency_in_minutes": "30"}},
        samples.SOURCE,
        lambda source: source.check_job_name.endswith("9f11"),
    ),
    (
        "pause_source",
        lambda c: c.pause_source(310442),
        "PUT /v4/sources/310442",
        lambda sent: set(sent) == {"paused_at"} and re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", sent["paused_at"]),
        {**samples.SOURCE, "paused_at": "2026-08-17T00:00:00Z"},
        lambda source: source.paused_at is not None,
    ),
    (
        "unpause_source",
        lambda c: c.unpause_source(310442),
        "PUT /v4/sources/310442",
        {"paused_at": None},
        samples.SOURCE,
        lambda source: source.paused_at is None,
    ),
    (
        "delete_source",
        lambda c: c.delete_source(310442),
        "DELETE /v4/sources/310442",
        None,
        {**samples.SOURCE, "deleted_at": "2026-08-17T00:00:00Z"},
        lambda source: source.deleted_at is not None,
    ),
    (
        "create_import_token",
        lambda c: c.create_import_token(310445),
        "POST /v4/sources/310445/tokens",
        None,
        more.IMPORT_TOKEN,
        lambda token: token.id == 828804411 and token.access_token.reveal() == "imp-5566778899",
    ),
    (
        "list_import_tokens",
        lambda c: c.list_import_tokens(310445),
        "GET /v4/sources/310445/tokens",
        None,
        [828804410, {"token_id": 828804411, "created_at": "2026-08-12T15:22:12Z"}],
        lambda tokens: (
            [(each.id, each.created_at and each.created_at.day) for each in tokens]
            == [(828804410, None), (828804411, 12)]
        ),
    ),
    (
        "revoke_import_token",
        lambda c: c.revoke_import_token(310445, 828804411),
        "DELETE /v4/sources/310445/tokens/828804411",
        None,
        samples.SOURCE,
        lambda source: source.id == 310442,
    ),
    (
        "get_last_connection_check",
        lambda c: c.get_last_connection_check(310444),
        "GET /v4/sources/310444/last-connection-check",
        None,
        samples.CHECK_FAILED,
        lambda check: check.status == "failed",
    ),
    (
        "list_streams",
        lambda c: c.list_streams(310442),
        "GET /v4/sources/310442/streams",
        None,
        samples.STREAMS,
        lambda streams: [each.stream_id for each in streams] == [5120771, 5120902],
    ),
    (
        "get_stream_schema",
        lambda c: c.get_stream_schema(310442, 5120771),
        "GET /v4/sources/310442/streams/5120771",
        None,
        more.STREAM_SCHEMA,
        lambda found: (
            found.metadata["table-key-properties"] == ["sha"]
            and set(found.schema["properties"]) == {"sha", "message"}
            and {name: each.is_replicated for name, each in found.fields.items()}
            == {"sha": True, "message": True, "tree": True, "geo": False, "url": False}
            and "replication-key" in found.writable_keys
        ),
    ),
    (
        "update_streams",
        lambda c: c.update_streams(
            310444,
            [
                StreamUpdate(
                    "shopdb-public-orders",
                    selected=True,
                    replication_method="INCREMENTAL",
                    replication_key="updated_at",
                    fields={"total": True},
                ),
                StreamUpdate("shopdb-public-order_view", view_key_properties=["id"]),
            ],
        ),
        "PUT /v4/sources/310444/streams/metadata",
        {
            "streams": [
                {
                    "tap_stream_id": "shopdb-public-orders",
                    "metadata": [
                        {
                            "breadcrumb": [],
                            "metadata": {
                                "selected": True,
                                "replication-method": "INCREMENTAL",
                                "replication-key": "updated_at",
                            },
                        },
                        {"breadcrumb": ["properties", "total"], "metadata": {"selected": True}},
                    ],
                },
                {
                    "tap_stream_id": "shopdb-public-order_view",
                    "metadata": [{"breadcrumb": [], "metadata": {"view-key-properties": ["id"]}}],
                },
            ]
        },
        {"status": 200},
        lambda nothing: nothing is None,
    ),
    (
        "start_replication_job",
        lambda c: c.start_replication_job(310442),
        "POST /v4/sources/310442/sync",
        {},
        {"job_name": samples.JOB_NAME},
        lambda job: job.job_name == samples.JOB_NAME,
    ),
    (
        "stop_replication_job",
        lambda c: c.stop_replication_job(310442),
        "DELETE /v4/sources/310442/sync",
        None,
        {"status": 200},
        lambda nothing: nothing is None,
    ),
    (
        "list_extractions",
        lambda c: c.list_extractions(2),
        "GET /v4/104857/extractions?page=2",
        None,
        {"data": [samples.EXTRACTION_GOOD], "page": 2, "total": 101, "links": {}},
        lambda page: page.records[0].tap_exit_status == 0,
    ),
    (
        "get_extraction_log",
        lambda c: c.get_extraction_log(samples.JOB_NAME),
        f"GET /v4/104857/extractions/{samples.JOB_NAME}",
        None,
        (
            b"2026-08-17 06:04:51,012Z   main - INFO Exit status is: Discovery succeeded. Tap succeeded. "
            b"Target succeeded.\n"
        ),
        lambda log: log.succeeded is True,
    ),
    (
        "list_loads",
        lambda c: c.list_loads(),
        "GET /v4/104857/loads?page=1",
        None,
        {"data": [samples.LOAD_GOOD], "page": 1, "total": 1, "links": {}},
        lambda page: page.records[0].stream_name == "commits",
    ),
]
