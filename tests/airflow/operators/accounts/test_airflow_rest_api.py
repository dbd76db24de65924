"""Tests for RestStore, which stores a connection through Airflow's REST API."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_stitch.connect.errors import StitchConfigurationError, StitchError, StitchUnavailable
from airflow_provider_stitch.operators._connections.rest_api import RestStore
from airflow_provider_stitch.operators._connections.stored import ConnectionTaken, ReservationLost
from tests.connect.scripted_server import http_response, running_server

RESERVED = {"conn_type": "stitch", "description": "of this run", "host": "https://api.stitchdata.com"}
FILLED = {**RESERVED, "login": "104857", "password": "at_hush"}
LOGGED_IN = http_response({"access_token": "jwt-hush"}, 201)


@pytest.fixture
def airflow_api():
    with running_server() as server:
        yield server


def store_at(server, **fields):
    user = {"conn_id": "api", "conn_type": "http", "host": server.url, "login": "ada", "password": "p-hush"}
    return RestStore(Connection(**{**user, **fields}))


def sent_requests(server):
    return [f"{each.method} {each.target}" for each in server.requests]


def existing(**fields):
    """Return an API response that contains the reserved connection.

    :param fields: fields of the connection to replace.
    """
    empty = {"login": None, "password": None, "extra": None}
    return http_response({"connection_id": "tenant", **RESERVED, **empty, **fields})


def test_connection_is_reserved_filled_and_released(airflow_api):
    found, created = existing(), http_response({}, 201)
    airflow_api.script(LOGGED_IN, created, found, http_response({}), found, http_response(b"", 204))

    store = store_at(airflow_api)
    store.reserve("a b", RESERVED)
    store.fill("a b", FILLED)
    store.release("a b", RESERVED)

    assert sent_requests(airflow_api) == [
        "POST /auth/token",
        "POST /api/v2/connections",
        "GET /api/v2/connections/a%20b",
        "PATCH /api/v2/connections/a%20b?" + "&".join(f"update_mask={name}" for name in FILLED),
        "GET /api/v2/connections/a%20b",
        "DELETE /api/v2/connections/a%20b",
    ]
    login, create, _, fill, _, _ = (json.loads(each.body or b"null") for each in airflow_api.requests)
    assert login == {"username": "ada", "password": "p-hush"}
    assert create == {"connection_id": "a b", **RESERVED}
    assert fill == {"connection_id": "a b", **FILLED}
    assert {each.headers["authorization"] for each in airflow_api.requests[1:]} == {"Bearer jwt-hush"}


def test_existing_connection_is_not_reserved(airflow_api):
    airflow_api.script(LOGGED_IN, http_response({}, 409))

    with pytest.raises(ReservationLost, match="at the same time"):
        store_at(airflow_api).reserve("tenant", RESERVED)

    assert sent_requests(airflow_api)[1:] == ["POST /api/v2/connections"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"description": "of another run"}, id="reserved by another run"),
        pytest.param({"password": "***"}, id="has a token"),
        pytest.param({"login": "104857"}, id="has an account"),
    ],
)
def test_only_a_reservation_of_this_run_is_released(airflow_api, fields):
    airflow_api.script(LOGGED_IN, existing(**fields))

    store_at(airflow_api).release("tenant", RESERVED)

    assert sent_requests(airflow_api)[1:] == ["GET /api/v2/connections/tenant"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"conn_type": "postgres"}, id="another type"),
        pytest.param({"extra": json.dumps({"partner_id": "oc_1"})}, id="partner credentials"),
        pytest.param({"login": "7"}, id="another account"),
        pytest.param({"password": "***", "description": "of another run"}, id="another token"),
    ],
)
def test_connection_in_other_use_is_not_filled(airflow_api, fields):
    airflow_api.script(LOGGED_IN, existing(**fields))

    with pytest.raises(ConnectionTaken, match="Choose another connection_id"):
        store_at(airflow_api).fill("tenant", FILLED)

    assert sent_requests(airflow_api)[1:] == ["GET /api/v2/connections/tenant"]


def test_token_is_written_again_if_the_response_was_lost(airflow_api):
    airflow_api.script(LOGGED_IN, existing(login="104857", password="***"), http_response({}))

    store_at(airflow_api).fill("tenant", FILLED)

    assert [each.method for each in airflow_api.requests[1:]] == ["GET", "PATCH"]


def test_expired_login_is_renewed_while_filling(airflow_api):
    renewed = http_response({"access_token": "jwt-new"}, 201)
    airflow_api.script(LOGGED_IN, http_response({}, 401), renewed, existing(), http_response({}))

    store_at(airflow_api).fill("tenant", FILLED)

    assert airflow_api.requests[-1].headers["authorization"] == "Bearer jwt-new"
    assert "authorization" not in airflow_api.requests[2].headers


def test_password_without_login_is_sent_as_api_token(airflow_api):
    airflow_api.script(http_response({}, 201))

    store_at(airflow_api, login=None, password="jwt-given").reserve("tenant", RESERVED)

    assert airflow_api.requests[0].headers["authorization"] == "Bearer jwt-given"


@pytest.mark.parametrize(
    ("response", "kind", "message"),
    [
        pytest.param(
            http_response({"detail": "p-hush"}, 401), StitchConfigurationError, "HTTP 401", id="HTTP 401"
        ),
        pytest.param(http_response({"detail": "p-hush"}, 503), StitchUnavailable, "HTTP 503", id="HTTP 503"),
        pytest.param(
            http_response(b"<html>p-hush", 200), StitchConfigurationError, "no token", id="HTML page"
        ),
        pytest.param(http_response(["p-hush"], 200), StitchConfigurationError, "no token", id="JSON array"),
        pytest.param(
            http_response(b"", 302, Location="/login"), StitchConfigurationError, "HTTP 302", id="HTTP 302"
        ),
        pytest.param(b"", StitchUnavailable, "cannot be reached", id="no response"),
    ],
)
def test_failed_login_is_reported_without_the_password(airflow_api, response, kind, message):
    airflow_api.script(response)

    with pytest.raises(kind, match=message) as caught:
        store_at(airflow_api)

    error: BaseException | None = caught.value
    while error is not None:
        assert "hush" not in str(error)
        error = error.__context__


@pytest.mark.parametrize(
    ("response", "message"),
    [
        pytest.param(http_response({"detail": "at_hush"}, 403), "must be allowed to", id="HTTP 403"),
        pytest.param(
            http_response({"detail": "at_hush"}, 422), "only connection ids of at most 200", id="HTTP 422"
        ),
        pytest.param(http_response(b"at_hush", 404), "no API of Airflow 3 at this address", id="HTTP 404"),
        pytest.param(
            http_response(b"", 307, Location="https://new.example/api/v2/connections?x=at_hush"),
            "redirects to https://new.example/api/v2/connections. Set the final address",
            id="HTTP 307",
        ),
    ],
)
def test_rejection_is_reported_with_advice_and_without_the_secret(airflow_api, response, message):
    airflow_api.script(LOGGED_IN, response)

    with pytest.raises(StitchConfigurationError, match=message) as caught:
        store_at(airflow_api).reserve("tenant", RESERVED)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", ["at_hush"], {"login": 5}])
def test_malformed_response_is_reported(airflow_api, body):
    airflow_api.script(LOGGED_IN, http_response(body))

    with pytest.raises(StitchUnavailable, match="describes no connection"):
        store_at(airflow_api).find("tenant")


def test_rejected_token_is_reported_without_the_secret(airflow_api):
    airflow_api.script(LOGGED_IN, existing(), http_response({"detail": "at_hush"}, 403))

    with pytest.raises(StitchError, match="HTTP 403") as caught:
        store_at(airflow_api).fill("tenant", FILLED)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("value", [True, "true"])
def test_allow_http_permits_plain_http(value):
    api = Connection(
        conn_id="api",
        conn_type="http",
        host="http://api-server.airflow.svc:8080",
        password="jwt",
        extra=json.dumps({"allow_http": value}),
    )

    assert RestStore(api)._url == "http://api-server.airflow.svc:8080"
