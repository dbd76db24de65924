"""Storing a connection by Airflow's REST API: what it is asked, and what its refusals become."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_stitch.connect.errors import StitchConfigurationError, StitchError, StitchUnavailable
from airflow_provider_stitch.operators._connections.rest_api import RestStore
from airflow_provider_stitch.operators._connections.stored import ConnectionTaken, ReservationLost
from tests.connect.scripted_server import http_response, running_server

FIELDS = {"conn_type": "stitch", "description": "of this run", "host": "https://api.stitchdata.com"}
WHOLE = {**FIELDS, "login": "104857", "password": "at_hush"}
LOGGED_IN = http_response({"access_token": "jwt-hush"}, 201)


@pytest.fixture
def airflow_api():
    with running_server() as server:
        yield server


def store_at(server, **fields):
    user = {"conn_id": "api", "conn_type": "http", "host": server.url, "login": "ada", "password": "p-hush"}
    return RestStore(Connection(**{**user, **fields}))


def asked(server):
    return [f"{each.method} {each.target}" for each in server.requests]


def existing(**fields):
    """The response of Airflow's API for a connection: ours as it was reserved, but for these fields."""
    empty = {"login": None, "password": None, "extra": None}
    return http_response({"connection_id": "tenant", **FIELDS, **empty, **fields})


def test_a_connection_is_reserved_filled_and_released(airflow_api):
    found, created = existing(), http_response({}, 201)
    airflow_api.script(LOGGED_IN, created, found, http_response({}), found, http_response(b"", 204))

    store = store_at(airflow_api)
    store.reserve("a b", FIELDS)
    store.fill("a b", WHOLE)
    store.release("a b", FIELDS)

    assert asked(airflow_api) == [
        "POST /auth/token",
        "POST /api/v2/connections",
        "GET /api/v2/connections/a%20b",
        "PATCH /api/v2/connections/a%20b?" + "&".join(f"update_mask={name}" for name in WHOLE),
        "GET /api/v2/connections/a%20b",
        "DELETE /api/v2/connections/a%20b",
    ]
    login, create, _, fill, _, _ = (json.loads(each.body or b"null") for each in airflow_api.requests)
    assert login == {"username": "ada", "password": "p-hush"}
    assert create == {"connection_id": "a b", **FIELDS}
    assert fill == {"connection_id": "a b", **WHOLE}
    assert {each.headers["authorization"] for each in airflow_api.requests[1:]} == {"Bearer jwt-hush"}


def test_a_connection_that_exists_is_not_reserved(airflow_api):
    airflow_api.script(LOGGED_IN, http_response({}, 409))

    with pytest.raises(ReservationLost, match="at the same time"):
        store_at(airflow_api).reserve("tenant", FIELDS)

    assert asked(airflow_api)[1:] == ["POST /api/v2/connections"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"description": "of another run"}, id="of another run"),
        pytest.param({"password": "***"}, id="with a token"),
        pytest.param({"login": "104857"}, id="of an account"),
    ],
)
def test_only_what_this_run_has_reserved_is_released(airflow_api, fields):
    airflow_api.script(LOGGED_IN, existing(**fields))

    store_at(airflow_api).release("tenant", FIELDS)

    assert asked(airflow_api)[1:] == ["GET /api/v2/connections/tenant"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"conn_type": "postgres"}, id="another type"),
        pytest.param({"extra": json.dumps({"partner_id": "oc_1"})}, id="a partner"),
        pytest.param({"login": "7"}, id="another account"),
        pytest.param({"password": "***", "description": "of another run"}, id="another token"),
    ],
)
def test_a_connection_in_other_use_is_not_filled(airflow_api, fields):
    airflow_api.script(LOGGED_IN, existing(**fields))

    with pytest.raises(ConnectionTaken, match="Choose another connection_id"):
        store_at(airflow_api).fill("tenant", WHOLE)

    assert asked(airflow_api)[1:] == ["GET /api/v2/connections/tenant"]


def test_a_token_whose_response_was_lost_is_written_again(airflow_api):
    airflow_api.script(LOGGED_IN, existing(login="104857", password="***"), http_response({}))

    store_at(airflow_api).fill("tenant", WHOLE)

    assert [each.method for each in airflow_api.requests[1:]] == ["GET", "PATCH"]


def test_an_expired_login_is_renewed_while_the_token_is_held(airflow_api):
    renewed = http_response({"access_token": "jwt-new"}, 201)
    airflow_api.script(LOGGED_IN, http_response({}, 401), renewed, existing(), http_response({}))

    store_at(airflow_api).fill("tenant", WHOLE)

    assert airflow_api.requests[-1].headers["authorization"] == "Bearer jwt-new"
    assert "authorization" not in airflow_api.requests[2].headers


def test_a_password_alone_is_a_token_of_the_api(airflow_api):
    airflow_api.script(http_response({}, 201))

    store_at(airflow_api, login=None, password="jwt-given").reserve("tenant", FIELDS)

    assert airflow_api.requests[0].headers["authorization"] == "Bearer jwt-given"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        pytest.param(
            http_response({"detail": "p-hush"}, 401), StitchConfigurationError, "HTTP 401", id="401"
        ),
        pytest.param(http_response({"detail": "p-hush"}, 503), StitchUnavailable, "HTTP 503", id="503"),
        pytest.param(
            http_response(b"<html>p-hush", 200), StitchConfigurationError, "no token", id="a web page"
        ),
        pytest.param(http_response(["p-hush"], 200), StitchConfigurationError, "no token", id="an array"),
        pytest.param(
            http_response(b"", 302, Location="/login"), StitchConfigurationError, "HTTP 302", id="302"
        ),
        pytest.param(b"", StitchUnavailable, "can't be reached", id="nothing"),
    ],
)
def test_an_api_that_gives_no_token_is_told_without_the_password(airflow_api, said, kind, words):
    airflow_api.script(said)

    with pytest.raises(kind, match=words) as caught:
        store_at(airflow_api)

    error: BaseException | None = caught.value
    while error is not None:
        assert "hush" not in str(error)
        error = error.__context__


@pytest.mark.parametrize(
    ("response", "words"),
    [
        pytest.param(http_response({"detail": "at_hush"}, 403), "must be allowed to", id="403"),
        pytest.param(
            http_response({"detail": "at_hush"}, 422), "only connection ids of at most 200", id="422"
        ),
        pytest.param(http_response(b"at_hush", 404), "no API of Airflow 3 at this address", id="404"),
        pytest.param(
            http_response(b"", 307, Location="https://new.example/api/v2/connections?x=at_hush"),
            "redirects to https://new.example/api/v2/connections. Set the final address",
            id="307",
        ),
    ],
)
def test_a_refusal_says_what_to_correct_without_the_secret(airflow_api, response, words):
    airflow_api.script(LOGGED_IN, response)

    with pytest.raises(StitchConfigurationError, match=words) as caught:
        store_at(airflow_api).reserve("tenant", FIELDS)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", ["at_hush"], {"login": 5}])
def test_a_response_that_describes_no_connection_is_reported(airflow_api, body):
    airflow_api.script(LOGGED_IN, http_response(body))

    with pytest.raises(StitchUnavailable, match="describes no connection"):
        store_at(airflow_api).find("tenant")


def test_filling_gives_up_on_a_refusal_without_the_secret(airflow_api):
    airflow_api.script(LOGGED_IN, existing(), http_response({"detail": "at_hush"}, 403))

    with pytest.raises(StitchError, match="HTTP 403") as caught:
        store_at(airflow_api).fill("tenant", WHOLE)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("value", [True, "true"])
def test_plain_http_within_a_cluster_is_an_explicit_choice(value):
    api = Connection(
        conn_id="api",
        conn_type="http",
        host="http://api-server.airflow.svc:8080",
        password="jwt",
        extra=json.dumps({"allow_http": value}),
    )

    assert RestStore(api)._url == "http://api-server.airflow.svc:8080"
