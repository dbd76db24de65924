"""Replication jobs, extractions and loads."""

from __future__ import annotations

from typing import Any

from airflow_provider_stitch.emulator.load_list import REACH
from airflow_provider_stitch.emulator.refusal import Refusal, not_found, unauthorized
from airflow_provider_stitch.emulator.routes.endpoint import Call, Endpoint, Redirect, whole_number
from airflow_provider_stitch.emulator.routes.schemas import NULL, STATUS_200, one_of, page_of, ref

_GROUP = "Replication jobs, extractions, loads"
PAGE = 100


def start_job(call: Call) -> Any:
    """Start a job, and answer before it runs."""
    return {"job_name": call.account.jobs.start(call.source_id(), call.now).timeline.job_name}


def stop_job(call: Call) -> Any:
    """Stop the rest of the running extraction, whoever started it.

    What is answered when nothing runs is not documented: here the usual 200. Nor is the answer for an unknown
    source: here that of a start.
    """
    message = f"Unable to locate source({call.source_id()}) for client ({call.account.client_id})"
    source = call.source(Refusal(400, {"error": {"type": "invalid_source", "message": message}}))
    call.account.jobs.stop(source, call.now)
    return {"status": 200}


def list_extractions(call: Call) -> Any:
    """A page of each source's last completed job."""
    _check_client_id(call)
    number = _page_number(call)
    records, total = call.account.jobs.page(call.now, (number - 1) * PAGE, PAGE)
    return _page(call, number, records, total)


def list_loads(call: Call) -> Any:
    """A page of each stream's latest load attempt."""
    _check_client_id(call)
    number, account = _page_number(call), call.account
    records, total = account.load_list.page(account.client_id, call.now, (number - 1) * PAGE, PAGE)
    return _page(call, number, records, total)


def get_extraction_log(call: Call) -> Any:
    """A redirect to the log of a job: also of older jobs, for 60 days."""
    _check_client_id(call)
    job = call.account.jobs.find(call.params["job_name"])
    if job is None or not job.timeline.log.available:
        raise not_found()
    timeline = job.timeline
    too_early = call.now < timeline.ends_at and not call.account.quirks.partial_logs
    if too_early or timeline.begins_at > call.now or timeline.ends_at < call.now - REACH:
        raise not_found()
    return Redirect(timeline.job_name)


def _check_client_id(call: Call) -> None:
    """401 if the token has no access to the client id in the path."""
    if call.params["stitch_client_id"] != str(call.account.client_id):
        raise unauthorized()


def _page_number(call: Call) -> int:
    """What a page that is no number answers is not documented: here the first."""
    return max(whole_number(call.parameters().get("page", ["1"])[0]) or 1, 1)


def _page(call: Call, number: int, records: list[Any], total: int) -> dict[str, Any]:
    """100 records. What a page out of range answers is not documented: here none."""
    links = {}
    if total > PAGE:
        if number * PAGE < total:
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
        "Start a replication job; a refusal because one is running is a 200, too",
        one_of(ref("ReplicationJob"), ref("JobError")),
        refusals={400: ref("JobError")},
    ),
    Endpoint(
        "DELETE",
        "/v4/sources/{source_id}/sync",
        stop_job,
        _GROUP,
        "Stop the running replication job",
        STATUS_200,
        refusals={400: ref("JobError")},
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
