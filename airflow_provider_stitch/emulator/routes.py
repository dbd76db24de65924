"""Which request does what: the table of endpoints, and one short function for each.

A function gets a :class:`Call` and returns the JSON body of a 200, or raises ``Refusal``. What is documented
but not modelled answers 501 and says so: a silent yes would teach a test a falsehood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from airflow_provider_stitch.emulator import report_cards, updates
from airflow_provider_stitch.emulator.account import REACH, Account, Refusal

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.emulator.sources import Source

PAGE = 100


@dataclass(frozen=True)
class Redirect:
    """The log of this job is elsewhere: a 302."""

    job_name: str


@dataclass(frozen=True)
class Call:
    """One authorised request."""

    account: Account
    now: datetime
    path: str
    params: Mapping[str, str]  #: from the path
    query: str
    content: bytes

    def source_id(self) -> int:
        """The source id of the path. One that is no number is an unknown URI."""
        return self.number("source_id")

    def number(self, name: str) -> int:
        text = self.params[name]
        if not (text.isascii() and text.isdigit()):
            raise not_found()
        return int(text)

    def source(self, unknown: Refusal) -> Source:
        """The source of the path, deleted or not."""
        source = self.account.sources.get(self.source_id())
        if source is None:
            raise unknown
        return source

    def json(self, otherwise: Refusal) -> Any:
        """The body, decoded."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise otherwise from error


Handler = Callable[[Call], Any]


def unauthorized() -> Refusal:
    """401. Its body is not documented ("None" where it is listed)."""
    return Refusal(401, None)


def not_found() -> Refusal:
    """404, likewise."""
    return Refusal(404, None)


# Sources


def list_sources(call: Call) -> Any:
    """All sources: active, paused and deleted, in one bare array."""
    return [source.body(call.now) for source in call.account.sources.values()]


def get_source(call: Call) -> Any:
    """One source. For an unknown id nothing is listed but the general 404."""
    return call.source(not_found()).body(call.now)


def update_source(call: Call) -> Any:
    """Update, pause or unpause, and run a connection check."""
    source = call.source(_unknown_source(call))
    # Whether a deleted source can be updated is not documented; here it counts as unknown.
    if source.deleted_at is not None:
        raise _unknown_source(call)
    return updates.update_source(call.account, source, call.json(updates.invalid_put_body()), call.now)


def delete_source(call: Call) -> Any:
    """Delete softly: the source stays readable, with ``deleted_at``. A running job is not stopped."""
    source = call.source(_unknown_source(call))
    if source.deleted_at is None:
        source.deleted_at = source.updated_at = call.now
    return source.body(call.now)


def get_source_type(call: Call) -> Any:
    """One source type. What an unknown one answers is not documented beyond the general 404."""
    source_type = call.params["source_type"]
    used = {source.type for source in call.account.sources.values()}
    if source_type not in report_cards.KNOWN_TYPES | used:
        raise not_found()
    return report_cards.source_type_body(source_type)


def last_connection_check(call: Call) -> Any:
    """The last check of a source. For a source that never had one nothing is documented; here it is 404."""
    source = call.source(not_found())
    if source.check is None:
        raise not_found()
    return source.check.body(call.now)


def _unknown_source(call: Call) -> Refusal:
    message = f"source not found ({call.source_id()})"
    return Refusal(400, {"error": "InvalidId", "data": {"message": message}})


# Streams


def list_streams(call: Call) -> Any:
    """The streams of a source, in one bare array."""
    return [stream.body() for stream in call.source(_invalid_stream(call.source_id())).streams]


def get_stream(call: Call) -> Any:
    """The schema of a stream. An unknown source and an unknown stream have the same answer."""
    invalid = _invalid_stream(call.number("stream_id"))
    for stream in call.source(invalid).streams:
        if stream.stream_id == call.number("stream_id"):
            return stream.schema_body()
    raise invalid


def update_streams(call: Call) -> Any:
    """Select streams and fields, all of the request or nothing."""
    source = call.source(_invalid_stream(call.source_id()))
    updates.update_streams(source, call.json(updates.invalid_streams_body()), call.now)
    return {"status": 200}


def _invalid_stream(number: int) -> Refusal:
    return Refusal(400, f"invalid stream-id: {number}")


# Jobs, extractions, loads


def start_job(call: Call) -> Any:
    """Start a job, and answer before it runs."""
    return {"job_name": call.account.start_job(call.source_id(), call.now).timeline.job_name}


def stop_job(call: Call) -> Any:
    """Stop the rest of the running extraction, whoever started it.

    What is answered when nothing runs is not documented: here the usual 200. Nor is the answer for an unknown
    source: here that of a start.
    """
    source_id = call.source_id()
    message = f"Unable to locate source({source_id}) for client ({call.account.client_id})"
    call.source(Refusal(400, {"error": {"type": "invalid_source", "message": message}}))
    call.account.stop_job(source_id, call.now)
    return {"status": 200}


def list_extractions(call: Call) -> Any:
    """A page of each source's last completed job."""
    _check_client_id(call)
    return _page(call, call.account.extractions(call.now))


def list_loads(call: Call) -> Any:
    """A page of each stream's latest load attempt."""
    _check_client_id(call)
    return _page(call, call.account.loads(call.now))


def get_extraction_log(call: Call) -> Any:
    """A redirect to the log of a job: also of older jobs, for 60 days."""
    _check_client_id(call)
    job = call.account.find_job(call.params["job_name"])
    if job is None or not job.timeline.log.available:
        raise not_found()
    timeline = job.timeline
    too_early = call.now < timeline.ends_at and not call.account.quirks.partial_logs
    if too_early or timeline.begins_at > call.now or timeline.ends_at < call.now - REACH:
        raise not_found()
    return Redirect(timeline.job_name)


def _check_client_id(call: Call) -> None:
    """401 if the token has no access to the client id in the path."""
    if call.params["client_id"] != str(call.account.client_id):
        raise unauthorized()


def _page(call: Call, records: list[Any]) -> dict[str, Any]:
    """100 records. What a page out of range or no number answers is not documented: nothing, and page 1."""
    asked = parse_qs(call.query).get("page", ["1"])[0]
    number = max(int(asked), 1) if asked.isascii() and asked.isdigit() else 1
    links = {}
    if len(records) > PAGE:
        if number * PAGE < len(records):
            links["next"] = f"{call.path}?page={number + 1}"
        if number > 1:
            links["previous"] = f"{call.path}?page={number - 1}"
    data = records[(number - 1) * PAGE : number * PAGE]
    return {"data": data, "page": number, "total": len(records), "links": links}


# Destinations


def list_destinations(call: Call) -> Any:
    """All destinations, or those of a source or with an id."""
    query = parse_qs(call.query, keep_blank_values=True)
    if set(query) - {"source_id", "destination_id"}:
        text = "GET may only include the params: source_id and/or destination_id"
        raise Refusal(400, text)
    wanted = query.get("destination_id")
    known = {str(source_id) for source_id in call.account.sources}
    if "source_id" in query and not known & set(query["source_id"]):
        return []
    return [d.body() for d in call.account.destinations if wanted is None or str(d.id) in wanted]


ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "/v4/sources"): list_sources,
    ("GET", "/v4/sources/{source_id}"): get_source,
    ("PUT", "/v4/sources/{source_id}"): update_source,
    ("DELETE", "/v4/sources/{source_id}"): delete_source,
    ("GET", "/v4/source-types/{source_type}"): get_source_type,
    ("GET", "/v4/sources/{source_id}/last-connection-check"): last_connection_check,
    ("GET", "/v4/sources/{source_id}/streams"): list_streams,
    ("GET", "/v4/sources/{source_id}/streams/{stream_id}"): get_stream,
    ("PUT", "/v4/sources/{source_id}/streams/metadata"): update_streams,
    ("POST", "/v4/sources/{source_id}/sync"): start_job,
    ("DELETE", "/v4/sources/{source_id}/sync"): stop_job,
    ("GET", "/v4/{client_id}/extractions"): list_extractions,
    ("GET", "/v4/{client_id}/extractions/{job_name}"): get_extraction_log,
    ("GET", "/v4/{client_id}/loads"): list_loads,
    ("GET", "/v4/destinations"): list_destinations,
}

#: The endpoints that share the limit of 30 requests in 10 minutes.
LIMITED = frozenset({list_extractions, get_extraction_log, list_loads})

#: Documented by Stitch, but not modelled here: 501.
NOT_MODELLED: frozenset[tuple[str, str]] = frozenset(
    {
        ("POST", "/v3/accounts"),
        ("POST", "/v3/sessions/ephemeral"),
        ("POST", "/oauth/token"),
        ("GET", "/v3/destinations"),
        ("POST", "/v3/destinations"),
        ("PUT", "/v3/destinations/{destination_id}"),
        ("GET", "/v4/destination-types"),
        ("GET", "/v4/destination-types/{destination_type}"),
        ("POST", "/v4/destinations"),
        ("PUT", "/v4/destinations/{destination_id}"),
        ("DELETE", "/v4/destinations/{destination_id}"),
        ("GET", "/v4/destinations/{destination_id}/last-connection-check"),
        ("GET", "/v4/source-types"),
        ("POST", "/v4/sources"),
        ("POST", "/v4/sources/{source_id}/tokens"),
        ("GET", "/v4/sources/{source_id}/tokens"),
        ("DELETE", "/v4/sources/{source_id}/tokens/{token_id}"),
        ("POST", "/notifications/public/v1/api/custom-emails"),
        ("GET", "/notifications/public/v1/api/custom-emails"),
        ("PUT", "/notifications/public/v1/api/custom-emails/{id}"),
        ("DELETE", "/notifications/public/v1/api/custom-emails/{id}"),
        ("POST", "/notifications/public/v1/api/hooks"),
        ("GET", "/notifications/public/v1/api/hooks"),
        ("PUT", "/notifications/public/v1/api/hooks/{id}"),
        ("DELETE", "/notifications/public/v1/api/hooks/{id}"),
    }
)

#: These two need no token. Source: Stitch Connect API, "Authentication".
WITHOUT_TOKEN = frozenset({("POST", "/v3/accounts"), ("POST", "/oauth/token")})
