"""Test the webhook receiver on a server that mounts it the way Airflow's API server does."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pytest
import requests
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from airflow_provider_stitch.assets import stitch_source, stitch_stream
from airflow_provider_stitch.common.asset_uris import source_uri, stream_uri
from airflow_provider_stitch.web.plugin import StitchPlugin
from tests.support.dag_runs import _register
from tests.support.watchers import HAS_NO_WATCHERS, HAS_WATCHERS

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "a-secret-of-more-than-20-characters/+&"
OTHER_SECRET = "another-secret-of-more-than-20-characters"
PAYLOAD: dict[str, Any] = {
    "version": "1.0",
    "minimum_sdc_batched_at": "2026-08-17T06:09:41.026Z",
    "integration_name": "github",
    "new_version": False,
    "source_root_table_name": "commits",
    "destination_root_table_name": "commits",
    "table_version": 0,
    "tables": [
        {"source_table_name": "parents", "num_rows": 3, "num_rows_rejected": 0},
        {
            "source_table_name": "commits",
            "num_rows": 412,
            "num_rows_rejected": 2,
            "max_time_extracted": "2026-08-17T06:02:33.870Z",
        },
    ],
}


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of an Airflow connection with a webhook secret.

    Airflow also has connections with a different secret, an invalid secret and no secret.
    """
    connections = {
        "stitch_hooked": {"conn_type": "stitch", "extra": {"webhook_secret": SECRET}},
        "stitch_other": {"conn_type": "stitch", "extra": {"webhook_secret": OTHER_SECRET}},
        "stitch_short": {"conn_type": "stitch", "extra": {"webhook_secret": "short"}},
        "stitch_without": {"conn_type": "stitch", "extra": {}},
        "stitch_number": {"conn_type": "stitch", "extra": {"webhook_secret": 12345678901234567890}},
        "http": {"conn_type": "http", "extra": {"webhook_secret": SECRET}},
    }
    for name, fields in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
    return "stitch_hooked"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server on which the webhook receiver is mounted."""
    import uvicorn
    from starlette.applications import Starlette

    app = Starlette()
    for each in StitchPlugin.fastapi_apps:
        app.mount(each["url_prefix"], each["app"])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


class Api:
    """Sends webhook requests the way Stitch does."""

    def __init__(self, url: str) -> None:
        self._url = url

    def post(self, path: str, body: Any) -> requests.Response:
        """Send a POST request.

        :param body: bytes or an iterator to send unchanged, or another object to send as JSON.
        """
        data = body if isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body).encode()
        return requests.post(self._url + path, data=data, timeout=60)

    def get(self, path: str) -> requests.Response:
        return requests.get(self._url + path, timeout=60)


@pytest.fixture
def api(airflow_database: None, server: str) -> Api:
    return Api(server)


@pytest.fixture
def asset(airflow, connection, request) -> str:
    """The URI of an asset that a DAG uses.

    Each test uses a different source for the asset.
    """
    source = f"Source {request.node.name}/{id(request)}"
    with airflow.dag(schedule=stitch_stream(source, "commits", stitch_conn_id=connection)) as dag:
        from airflow.providers.common.compat.standard.operators import PythonOperator

        PythonOperator(task_id="read", python_callable=print)
    _register(dag)
    return stream_uri(connection, source, "commits")


def source_of(uri: str) -> str:
    return unquote(uri.split("/")[3])


def events(uri: str) -> list[dict[str, Any]]:
    """Return the `extra` of each event for an asset."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session

    with create_session() as session:
        query = session.query(AssetEvent.extra).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        return [extra for (extra,) in query.filter(AssetModel.uri == uri).order_by(AssetEvent.id)]


def url(connection_id: str, token: str | None = SECRET) -> str:
    query = "" if token is None else f"?token={quote(token, safe='')}"
    return f"/stitch/hooks/{connection_id}{query}"


@HAS_WATCHERS
def test_webhook_becomes_an_event_of_the_stream(api, connection, asset):
    response = api.post(url(connection), {**PAYLOAD, "integration_name": source_of(asset)})

    assert response.status_code == 200
    (extra,) = events(asset)
    assert extra["rows"] == 412
    assert extra["rows_rejected"] == 2
    assert extra["max_time_extracted"] == "2026-08-17T06:02:33.870+00:00"
    assert len(extra["delivery"]) == 64
    assert extra["from_stitch_hook"] is True


@HAS_WATCHERS
def test_same_body_20_times_at_once_becomes_one_event(api, connection, asset):
    body = {**PAYLOAD, "integration_name": source_of(asset)}
    with ThreadPoolExecutor(20) as threads:
        responses = list(threads.map(lambda _: api.post(url(connection), body), range(20)))

    assert {response.status_code for response in responses} == {200}
    assert len(events(asset)) == 1
    assert api.post(url(connection), body).text == "This webhook was received before.\n"
    assert len(events(asset)) == 1


@HAS_WATCHERS
def test_other_body_becomes_another_event(api, connection, asset):
    for minute in ("06", "07"):
        at = f"2026-08-17T06:{minute}:41.026Z"
        body = {**PAYLOAD, "integration_name": source_of(asset), "minimum_sdc_batched_at": at}
        assert api.post(url(connection), body).status_code == 200

    assert len(events(asset)) == 2


@HAS_WATCHERS
def test_display_name_matches_the_source_with_that_name(api, connection, asset):
    name = source_of(asset).upper().replace(" ", " - ")
    api.post(url(connection), {**PAYLOAD, "integration_name": name})

    assert len(events(asset)) == 1


@HAS_WATCHERS
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"integration_name": "unknown"}, id="another source"),
        pytest.param({"source_root_table_name": "issues"}, id="another stream"),
        pytest.param({"source_root_table_name": "\ud800\u0000%"}, id="a stream with an invalid name"),
    ],
)
def test_webhook_without_an_asset_is_accepted_and_dropped(api, connection, asset, changes):
    response = api.post(url(connection), {**PAYLOAD, "integration_name": source_of(asset), **changes})

    assert (response.status_code, events(asset)) == (200, [])


@HAS_WATCHERS
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(url("stitch_hooked", None), id="no secret"),
        pytest.param(url("stitch_hooked", ""), id="an empty secret"),
        pytest.param(url("stitch_hooked", "wrong" * 5), id="a wrong secret"),
        pytest.param(url("stitch_hooked", SECRET[:-1]), id="a prefix of the secret"),
        pytest.param(url("stitch_hooked", OTHER_SECRET), id="the secret of another connection"),
        pytest.param(url("stitch_hooked") + "&token=x", id="two secrets"),
        pytest.param(url("stitch_hooked", "\xff" * 30), id="a secret that is not ASCII"),
        pytest.param(url("stitch_short", "short"), id="a secret that is too short"),
        pytest.param(url("stitch_without", ""), id="a connection without a secret"),
        pytest.param(url("stitch_number", "12345678901234567890"), id="a secret that is a number"),
        pytest.param(url("http"), id="a connection of another type"),
        pytest.param(url("unknown"), id="an unknown connection"),
        pytest.param(url("stitch_hooked/x"), id="a longer path"),
        pytest.param(url(""), id="no connection"),
        pytest.param(url("x" * 1000), id="a long id"),
        pytest.param(url("%00%0a"), id="an id that is not printable"),
    ],
)
def test_wrong_secret_is_not_found(api, connection, path):
    response = api.post(path, PAYLOAD)

    assert (response.status_code, response.text) == (404, "This hook does not exist.\n")


@HAS_WATCHERS
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"garbage", id="not JSON"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b"1" * 100_000, id="a long number"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(json.dumps({**PAYLOAD, "tables": []}).encode(), id="no table"),
        pytest.param(json.dumps({**PAYLOAD, "tables": [1]}).encode(), id="a table that is a number"),
        pytest.param(json.dumps({**PAYLOAD, "integration_name": None}).encode(), id="no source"),
        pytest.param(json.dumps({**PAYLOAD, "source_root_table_name": ""}).encode(), id="no stream"),
        pytest.param(json.dumps({**PAYLOAD, "tables": [{"num_rows": "1"}]}).encode(), id="a text of rows"),
        pytest.param(json.dumps({**PAYLOAD, "tables": [{"num_rows": -1}]}).encode(), id="negative rows"),
        pytest.param(json.dumps({**PAYLOAD, "tables": [{"num_rows": 10**400}]}).encode(), id="too many rows"),
        pytest.param(
            json.dumps({**PAYLOAD, "tables": [{"max_time_extracted": "now"}]}).encode(), id="not a time"
        ),
    ],
)
def test_body_without_a_valid_payload_is_rejected(api, connection, body):
    assert api.post(url(connection), body).status_code == 400


@HAS_WATCHERS
def test_fields_that_do_not_apply_may_be_absent_or_null(api, connection, asset):
    table = {"source_table_name": "commits", "max_time_extracted": None, "num_rows": 0}
    body = {**PAYLOAD, "integration_name": source_of(asset), "tables": [table]}

    assert api.post(url(connection), body).status_code == 200
    (extra,) = events(asset)
    assert (extra["rows"], extra["rows_rejected"], extra["max_time_extracted"]) == (0, None, None)


@HAS_WATCHERS
@pytest.mark.parametrize("is_announced", [True, False], ids=["with its length", "in chunks"])
def test_large_body_is_rejected(api, connection, is_announced):
    body = b" " * 2_000_000
    response = api.post(url(connection), body if is_announced else iter([body]))

    assert response.status_code == 413


@HAS_WATCHERS
def test_get_is_not_allowed(api, connection):
    response = api.get(url(connection))

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@HAS_WATCHERS
@pytest.mark.parametrize("connection_id", ["stitch_hooked", "unknown"])
def test_unavailable_database_is_a_server_error(api, connection, connection_id, monkeypatch, caplog):
    """The receiver returns a server error, so that Stitch sends the webhook again.

    The error must not depend on the secret.
    """

    def fail(*args: Any, **options: Any) -> Any:
        raise OperationalError(f"SELECT {SECRET}", {"secret": SECRET}, Exception(SECRET))

    monkeypatch.setattr(Session, "execute", fail)
    with caplog.at_level(logging.DEBUG):
        response = api.post(url(connection_id), PAYLOAD)

    assert response.status_code == 503
    assert SECRET not in caplog.text
    assert "Could not store a webhook" in caplog.text


@HAS_WATCHERS
def test_failed_insert_stores_nothing_and_is_a_server_error(api, connection, asset, monkeypatch):
    from airflow.assets.manager import AssetManager

    def fail(*args: Any, **options: Any) -> Any:
        raise OperationalError("INSERT", {}, Exception("the database is gone"))

    body = {**PAYLOAD, "integration_name": source_of(asset)}
    with monkeypatch.context() as patch:
        patch.setattr(AssetManager, "register_asset_change", fail)
        assert api.post(url(connection), body).status_code == 503
    assert events(asset) == []
    assert api.post(url(connection), body).status_code == 200
    assert len(events(asset)) == 1


@HAS_WATCHERS
def test_unexpected_error_is_a_server_error_without_its_text(api, connection, monkeypatch, caplog):
    from airflow.models.connection import Connection

    def fail(*args: Any, **options: Any) -> Any:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Connection, "get_connection_from_secrets", fail)
    response = api.post(url(connection), PAYLOAD)

    assert response.status_code == 500
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text


@HAS_WATCHERS
def test_no_log_contains_the_secret(api, connection, asset, caplog):
    body = {**PAYLOAD, "integration_name": source_of(asset)}
    with caplog.at_level(logging.DEBUG):
        for path in (url(connection), url("stitch_short", "short"), url(connection, OTHER_SECRET)):
            api.post(path, body)
        api.post(url(connection), b"garbage")

    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("airflow_"))
    assert "shorter than 20 characters" in ours
    assert "The body is not JSON" in ours
    assert SECRET not in ours
    assert OTHER_SECRET not in ours


@HAS_WATCHERS
def test_source_assets_are_not_updated(api, airflow, connection, request):
    """A webhook reports that one table is loaded, but the source may have other tables."""
    source = f"source {id(request)}"
    with airflow.dag(schedule=stitch_source(source, stitch_conn_id=connection)) as dag:
        pass
    _register(dag)

    assert api.post(url(connection), {**PAYLOAD, "integration_name": source}).status_code == 200
    assert events(source_uri(connection, source)) == []


@HAS_NO_WATCHERS
def test_airflow_2_mounts_nothing():
    assert StitchPlugin.fastapi_apps == []


def test_plugin_imports_neither_a_server_nor_the_client():
    code = (
        "import airflow.plugins_manager, sys; before = set(sys.modules)\n"
        "import airflow_provider_stitch.web.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert "airflow_provider_stitch.web.plugin" in output.split()
    assert set(output.split()) <= {
        "airflow_provider_stitch",
        "airflow_provider_stitch.triggers",
        "airflow_provider_stitch.triggers.versions",
        "airflow_provider_stitch.web",
        "airflow_provider_stitch.web.plugin",
    }
