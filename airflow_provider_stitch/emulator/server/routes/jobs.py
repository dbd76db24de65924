"""Endpoints for replication jobs, extractions and loads."""

from __future__ import annotations

from typing import Any

from airflow_provider_stitch.emulator.model.api_errors import ApiError, not_found, unauthorized
from airflow_provider_stitch.emulator.model.jobs.load_list import RETENTION
from airflow_provider_stitch.emulator.server.routes.endpoint import Call, Endpoint, Redirect, parse_number
from airflow_provider_stitch.emulator.server.routes.schemas import NULL, STATUS_200, one_of, page_of, ref

_GROUP = "Replication jobs, extractions, loads"
PAGE_SIZE = 100


def start_job(call: Call) -> Any:
    """Start a job, and respond without waiting for its end."""
    return {"job_name": call.account.jobs.start(call.source_id(), call.now).timeline.job_name}


def stop_job(call: Call) -> Any:
    """Stop the running extraction, even if another user or Stitch's schedule started the extraction.

    Stitch does not document the response if no job is running or if the source is unknown. The emulator
    returns 200 if no job is running. For an unknown source, the emulator returns the same error as for a
    request to start a job.
    """
    message = f"Unable to locate source({call.source_id()}) for client ({call.account.client_id})"
    source = call.source(ApiError(400, {"error": {"type": "invalid_source", "message": message}}))
    call.account.jobs.stop(source, call.now)
    return {"status": 200}


def list_extractions(call: Call) -> Any:
    """Return a page of extractions, with the last completed job of each source."""
    _check_client_id(call)
    number = _page_number(call)
    records, total = call.account.jobs.page(call.now, (number - 1) * PAGE_SIZE, PAGE_SIZE)
    return _page(call, number, records, total)


def list_loads(call: Call) -> Any:
    """Return a page of loads, with the latest load attempt of each stream."""
    _check_client_id(call)
    number, account = _page_number(call), call.account
    records, total = account.load_list.page(account.client_id, call.now, (number - 1) * PAGE_SIZE, PAGE_SIZE)
    return _page(call, number, records, total)


def get_extraction_log(call: Call) -> Any:
    """Redirect to the log of a job.

    A log is available for 60 days, even if the list of extractions no longer contains its job.
    """
    _check_client_id(call)
    job = call.account.jobs.find(call.params["job_name"])
    if job is None or not job.timeline.log.available:
        raise not_found()
    timeline = job.timeline
    too_early = call.now < timeline.ends_at and not call.account.quirks.partial_logs
    if too_early or timeline.starts_at > call.now or timeline.ends_at < call.now - RETENTION:
        raise not_found()
    return Redirect(timeline.job_name)


def _check_client_id(call: Call) -> None:
    """Raise a 401 error if the client id in the path is not the client id of the access token."""
    if call.params["stitch_client_id"] != str(call.account.client_id):
        raise unauthorized()


def _page_number(call: Call) -> int:
    """Return the requested page number, or 1 if the number is invalid.

    Stitch does not document its response to an invalid page number.
    """
    return max(parse_number(call.parameters().get("page", ["1"])[0]) or 1, 1)


def _page(call: Call, number: int, records: list[Any], total: int) -> dict[str, Any]:
    """Return a page of up to 100 records.

    Stitch does not document pages that are out of range, so the emulator returns an empty page.
    """
    links = {}
    if total > PAGE_SIZE:
        if number * PAGE_SIZE < total:
            links["next"] = f"{call.path}?page={number + 1}"
        if number > 1:
            links["previous"] = f"{call.path}?page={number - 1}"
    return {"data": records, "page": number, "total": total, "links": links}


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v4/sources/{source_id}/sync",
        start_job,
        _GROUP,
        "Start a replication job; the error for a running job is also a 200",
        one_of(ref("ReplicationJob"), ref("JobError")),
        errors={400: ref("JobError")},
    ),
    Endpoint(
        "DELETE",
        "/v4/sources/{source_id}/sync",
        stop_job,
        _GROUP,
        "Stop the running replication job",
        STATUS_200,
        errors={400: ref("JobError")},
    ),
    Endpoint(
        "GET",
        "/v4/{stitch_client_id}/extractions",
        list_extractions,
        _GROUP,
        "Last completed extraction of each source",
        page_of("Extraction"),
        query={"page": {}},
        limited=True,
    ),
    Endpoint(
        "GET",
        "/v4/{stitch_client_id}/extractions/{job_name}",
        get_extraction_log,
        _GROUP,
        "Log of an extraction",
        NULL,
        limited=True,
        redirects=True,
    ),
    Endpoint(
        "GET",
        "/v4/{stitch_client_id}/loads",
        list_loads,
        _GROUP,
        "Latest load attempt of each stream",
        page_of("Load"),
        query={"page": {}},
        limited=True,
    ),
)
