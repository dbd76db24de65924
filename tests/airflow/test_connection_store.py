"""Storing a connection by Airflow's REST API: what it is asked, and what its refusals become."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_stitch.connect.errors import StitchConfigurationError, StitchError, StitchUnavailable
from airflow_provider_stitch.hooks import connection_store
from airflow_provider_stitch.hooks.connection_store import RestStore
from tests.connect.server import answer, running_server

FIELDS = {"conn_type": "stitch", "host": "https://api.stitchdata.com"}
WHOLE = {**FIELDS, "login": "104857", "password": "at_hush"}
LOGGED_IN = answer({"access_token": "jwt-hush"}, 201)


@pytest.fixture
def airflow_api():
    with running_server() as server:
        yield server


def store_at(server, **fields):
    user = {"conn_id": "api", "conn_type": "http", "host": server.url, "login": "ada", "password": "p-hush"}
    return RestStore(Connection(**{**user, **fields}))


def asked(server):
    return [f"{each.method} {each.target}" for each in server.requests]


def test_a_connection_is_reserved_filled_and_released(airflow_api):
    airflow_api.script(LOGGED_IN, answer({}, 404), answer({}, 201), answer({}), answer(b"", 204))

    store = store_at(airflow_api)
    store.reserve("a b", FIELDS)
    store.fill("a b", WHOLE)
    store.release("a b")

    assert asked(airflow_api) == [
        "POST /auth/token",
        "GET /api/v2/connections/a%20b",
        "POST /api/v2/connections",
        "PATCH /api/v2/connections/a%20b?"
        + "&".join(f"update_mask={name}" for name in ("conn_type", "host", "login", "password")),
        "DELETE /api/v2/connections/a%20b",
    ]
    login, _, create, fill, _ = (json.loads(each.body or b"null") for each in airflow_api.requests)
    assert login == {"username": "ada", "password": "p-hush"}
    assert create == {"connection_id": "a b", **FIELDS}
    assert fill == {"connection_id": "a b", **WHOLE}
    assert {each.headers["authorization"] for each in airflow_api.requests[1:]} == {"Bearer jwt-hush"}


def test_what_an_earlier_try_has_reserved_is_taken(airflow_api):
    airflow_api.script(LOGGED_IN, answer({}, 200), answer({}, 200))

    store_at(airflow_api).reserve("tenant", FIELDS)

    assert [each.split("?")[0] for each in asked(airflow_api)[1:]] == [
        "GET /api/v2/connections/tenant",
        "PATCH /api/v2/connections/tenant",
    ]


def test_a_password_alone_is_a_token_of_the_api(airflow_api):
    airflow_api.script(answer({}, 404), answer({}, 201))

    store_at(airflow_api, login=None, password="jwt-given").reserve("tenant", FIELDS)

    assert airflow_api.requests[0].headers["authorization"] == "Bearer jwt-given"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        pytest.param(answer({"detail": "p-hush"}, 401), StitchConfigurationError, "HTTP 401", id="401"),
        pytest.param(answer({"detail": "p-hush"}, 503), StitchUnavailable, "HTTP 503", id="503"),
        pytest.param(answer(b"<html>p-hush", 200), StitchConfigurationError, "no token", id="a web page"),
        pytest.param(answer(["p-hush"], 200), StitchConfigurationError, "no token", id="an array"),
        pytest.param(answer(b"", 302, Location="/login"), StitchConfigurationError, "HTTP 302", id="302"),
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


def test_filling_waits_out_an_outage(airflow_api, monkeypatch):
    pauses = []
    policy = connection_store.retry_policy
    monkeypatch.setattr(
        connection_store, "retry_policy", lambda seconds: policy(seconds, sleep=pauses.append)
    )
    airflow_api.script(LOGGED_IN, b"", answer({}, 502), answer({}))

    store_at(airflow_api).fill("tenant", WHOLE)

    assert len(pauses) == 2


def test_filling_gives_up_on_a_refusal_without_the_secret(airflow_api):
    airflow_api.script(LOGGED_IN, answer({"detail": "at_hush"}, 403))

    with pytest.raises(StitchError, match="HTTP 403") as caught:
        store_at(airflow_api).fill("tenant", WHOLE)

    assert "hush" not in str(caught.value)
