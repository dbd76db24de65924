"""Test DAGs that a watcher or a webhook starts after Stitch has loaded a stream."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from airflow_provider_stitch.emulator import JobPlan
from local_airflow.processes import IS_AIRFLOW_2
from tests.support.secret_encodings import find_encodings
from tests.system.watched_account import CONNECTION, HOOKED, SECRET, WATCHED, watched_account

pytestmark = pytest.mark.skipif(IS_AIRFLOW_2, reason="watchers and the receiver need Airflow 3.3")

HOOKED_ASSET = f"stitch://{CONNECTION}/{HOOKED}/commits"
TRIGGERER_LOG = "triggerer.out"


@pytest.fixture(scope="module")
def watched(airflow, stitch):
    with watched_account(airflow, stitch) as watched:
        yield watched


def hook_url(airflow, token=SECRET, connection=CONNECTION):
    query = "" if token is None else f"?token={token}"
    return f"{airflow.processes.url}/stitch/hooks/{connection}{query}"


def test_load_starts_the_dags_of_its_stream_and_source(airflow, watched):
    watched.load("commits")
    watched.wait_until_announced()
    airflow.wait_until(lambda: watched.finished_runs("on_commits"), "a run of on_commits")
    airflow.wait_until(lambda: watched.finished_runs("on_any_stream"), "a run of on_any_stream")

    assert watched.announced("issues") == []
    assert watched.duplicates() == 0


def test_killed_triggerer_announces_the_loads_of_the_time_in_between(airflow, watched):
    watched.load("issues")
    airflow.processes.kill("triggerer")
    watched.load("commits")
    watched.load("stars")  # the stream `stars` has never been loaded before
    airflow.processes.start_component("triggerer")
    watched.wait_until_announced()

    assert watched.duplicates() <= 1


def test_rejected_token_restarts_no_watcher(airflow, watched):
    log = airflow.processes.home / TRIGGERER_LOG
    watched.account.disable_token()
    rejected = watched.rejected_requests()
    airflow.wait_until(lambda: "Cannot read the loads" in log.read_text(), "a rejected request")
    starts = log.read_text().count("starting")
    watched.load("pulls")
    watched.account.add_token("the-new-token-of-the-watched-account")
    airflow.secrets.append("the-new-token-of-the-watched-account")
    airflow.control.set_password(CONNECTION, "the-new-token-of-the-watched-account")
    watched.wait_until_announced()

    assert log.read_text().count("starting") == starts
    assert watched.rejected_requests() - rejected < 30


def test_webhook_of_a_load_starts_a_dag(airflow, stitch, watched):
    watched.account.add_hook(hook_url(airflow))
    watched.account.start_job(watched.hooked, JobPlan())
    stitch.advance(3600)
    (webhook,) = watched.account.settle_webhooks(60)
    airflow.wait_until(lambda: watched.finished_runs("on_webhook"), "a run of on_webhook")

    assert webhook.state == "delivered"
    (extra,) = watched.events(HOOKED_ASSET)
    (table,) = webhook.payload["tables"]
    assert (extra["rows"], extra["rows_rejected"]) == (table["num_rows"], table["num_rows_rejected"])
    assert extra["max_time_extracted"][:19] == table["max_time_extracted"][:19]


def test_20_concurrent_deliveries_make_one_event_and_one_run(airflow, watched):
    payload = {**watched.account.webhooks[-1].payload, "minimum_sdc_batched_at": "2026-08-17T06:09:41.026Z"}
    body = json.dumps(payload).encode()
    events = len(watched.events(HOOKED_ASSET))
    runs = watched.finished_runs("on_webhook")
    with ThreadPoolExecutor(20) as threads:
        urls = [hook_url(airflow)] * 20
        responses = list(threads.map(lambda url: requests.post(url, data=body, timeout=120), urls))
    airflow.wait_until(lambda: watched.finished_runs("on_webhook") > runs, "a run of on_webhook")

    assert [response.status_code for response in responses] == [200] * 20
    assert len(watched.events(HOOKED_ASSET)) == events + 1
    assert watched.finished_runs("on_webhook") == runs + 1


@pytest.mark.parametrize(
    ("token", "connection", "body", "status"),
    [
        pytest.param("wrong" * 5, CONNECTION, b"{}", 404, id="wrong secret"),
        pytest.param(None, CONNECTION, b"{}", 404, id="no secret"),
        pytest.param(SECRET, "stitch_default", b"{}", 404, id="secret of another connection"),
        pytest.param(SECRET, CONNECTION, b"garbage", 400, id="garbage"),
        pytest.param(SECRET, CONNECTION, b" " * 2_000_000, 413, id="2 MB"),
    ],
)
def test_request_other_than_a_webhook_is_rejected(airflow, watched, token, connection, body, status):
    response = requests.post(hook_url(airflow, token, connection), data=body, timeout=120)

    assert response.status_code == status


def test_no_log_contains_the_webhook_secret(airflow, watched):
    for log in airflow.processes.home.glob("*.out"):
        assert find_encodings(SECRET, log.read_bytes()) == []
    access_log = (airflow.processes.home / "api-server.out").read_text()
    assert f"/stitch/hooks/{CONNECTION}" in access_log
    assert WATCHED in (airflow.processes.home / TRIGGERER_LOG).read_text()
