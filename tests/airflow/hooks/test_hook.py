"""Test how StitchHook reads its connection, finds sources, and shares its request budget."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.connect.errors import RateLimited, StitchConfigurationError, UnknownSource
from airflow_provider_stitch.hooks.stitch import StitchHook, airflow_home
from airflow_provider_stitch.replication.budget.limiter import SharedRequestBudget
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.session import AccountSession


@pytest.fixture
def connect(monkeypatch, airflow_database):
    """Return a function that sets an Airflow connection and returns a hook for this connection."""

    def connect(**fields):
        connection = {"conn_type": "stitch", "password": "ac_token", **fields}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))
        return StitchHook()

    return connect


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        pytest.param({}, "https://api.stitchdata.com", id="no host"),
        pytest.param({"host": "https://stitch.example/"}, "https://stitch.example", id="URL"),
        pytest.param({"host": "stitch.example"}, "https://stitch.example", id="host name"),
        pytest.param(
            {"host": "127.0.0.1", "schema": "http", "port": 81},
            "http://127.0.0.1:81",
            id="host, schema and port",
        ),
    ],
)
def test_base_url_comes_from_the_host(connect, fields, base_url):
    assert connect(**fields).client.base_url == base_url


def test_login_and_extras_reach_the_client(connect):
    extra = {"request_timeout": 7.5, "requests_per_10_minutes": "12"}

    client = connect(login="104857", extra=extra).client

    assert (client.client_id, client.request_timeout, client.requests_per_10_minutes) == (104857, 7.5, 12)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"password": ""}, "token", id="no token"),
        pytest.param({"password": "oc_secret"}, "partner credential", id="partner credential as token"),
        pytest.param({"host": "http://api.stitchdata.com"}, "HTTPS", id="plain HTTP"),
        pytest.param({"host": "https://user:pass@api.stitchdata.com"}, "user", id="user in the base URL"),
        pytest.param({"login": "oc_secret"}, "client ID.*must be the number", id="client ID is not a number"),
        pytest.param(
            {"extra": {"request_timeout": "soon"}}, "request_timeout.*a number", id="string as timeout"
        ),
        pytest.param({"extra": {"request_timeout": -3}}, "request_timeout.*a number", id="negative timeout"),
        pytest.param(
            {"extra": {"request_timeout": True}}, "request_timeout.*a number", id="boolean as timeout"
        ),
        pytest.param({"extra": {"requests_per_10_minutes": 0}}, "requests_per_10_minutes", id="0 requests"),
        pytest.param(
            {"extra": {"requests_per_10_minutes": 1.5}}, "requests_per_10_minutes", id="fraction of a request"
        ),
        pytest.param(
            {"extra": {"requests_per_10_minutes": [30]}},
            "requests_per_10_minutes",
            id="list as number of requests",
        ),
    ],
)
def test_invalid_connection_is_rejected_with_the_reason(connect, fields, reason):
    hook = connect(**fields)

    with pytest.raises(StitchConfigurationError, match=reason) as caught:
        hook.client  # noqa: B018
    is_ok, message = hook.test_connection()

    assert not is_ok
    assert message == str(caught.value)
    assert "oc_secret" not in message
    assert "pass@" not in message


PARTNER = {"partner_id": "oc_id_hush", "partner_secret": "oc_secret_hush"}


def test_connection_without_token_has_a_partner_client_only(connect):
    hook = connect(password=None, host="https://stitch.example", extra=PARTNER)

    assert hook.partner.base_url == "https://stitch.example"
    with pytest.raises(
        StitchConfigurationError, match="'stitch_default' has partner credentials but no access"
    ) as caught:
        hook.client  # noqa: B018
    assert "hush" not in str(caught.value)


def test_test_connection_does_not_use_partner_credentials(connect):
    is_ok, message = connect(password=None, extra=PARTNER).test_connection()

    assert is_ok
    assert "not tested" in message
    assert "hush" not in message


@pytest.mark.parametrize("missing", ["partner_id", "partner_secret"])
def test_incomplete_partner_credentials_are_rejected(connect, missing):
    hook = connect(password=None, extra={**PARTNER, missing: ""})

    is_ok, message = hook.test_connection()

    assert not is_ok
    assert missing in message
    assert "hush" not in message
    with pytest.raises(StitchConfigurationError, match="partner_id"):
        connect(password=None).partner  # noqa: B018


def test_partner_credentials_in_login_and_password_are_rejected(connect):
    with pytest.raises(StitchConfigurationError, match="partner_secret as extras") as caught:
        connect(login="oc_id_hush", password="oc_secret_hush").partner  # noqa: B018

    assert "hush" not in str(caught.value)


def test_connection_can_hold_token_and_partner_credentials(connect):
    hook = connect(extra=PARTNER)

    assert hook.client.base_url == hook.partner.base_url == "https://api.stitchdata.com"


@pytest.mark.usefixtures("airflow_database")
def test_test_connection_summarises_the_account(stitch):
    stitch.add_source("github", streams={"a": 1})
    stitch.pause_source(stitch.add_source("paused", streams={"a": 1}))
    stitch.pause_source(stitch.add_source("paused_by_stitch", streams={"a": 1}), by_stitch=True)
    stitch.delete_source(stitch.add_source("deleted", streams={"a": 1}))

    assert StitchHook().test_connection() == (
        True,
        "Connected to Stitch account 104857: 3 sources, 2 of them paused.",
    )


@pytest.mark.usefixtures("airflow_database")
def test_test_connection_reports_a_disabled_token(stitch):
    stitch.disable_token()

    is_ok, message = StitchHook().test_connection()

    assert not is_ok
    assert "access token" in message


def test_client_id_is_found_if_the_connection_has_none(connect, stitch):
    stitch.add_source("github", streams={"a": 1})

    assert connect(host=stitch.url, password=stitch.access_token).client.client_id == 104857


def test_client_id_of_another_account_is_rejected(connect, stitch):
    stitch.add_source("github", streams={"a": 1})
    hook = connect(host=stitch.url, password=stitch.access_token, login="999")

    with pytest.raises(StitchConfigurationError, match="999, but its token belongs to account 104857"):
        hook.resolve_source("github")
    assert hook.test_connection()[0] is False


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("as_type", [int, str])
def test_source_id_is_resolved_without_listing_the_sources(stitch, as_type):
    github = stitch.add_source("github", streams={"a": 1})

    assert StitchHook().resolve_source(as_type(github)).name == "github"
    assert [request.path for request in stitch.requests] == [f"/v4/sources/{github}"]


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("is_deleted", [False, True])
def test_numeric_name_is_resolved_if_no_active_source_has_that_id(stitch, is_deleted):
    github = stitch.add_source("github", streams={"a": 1})
    if is_deleted:
        StitchHook().client.delete_source(github)
    number = str(github if is_deleted else github + 1000)
    named = stitch.add_source(number, streams={"a": 1})

    assert StitchHook().resolve_source(number).id == named


@pytest.mark.usefixtures("airflow_database")
def test_source_is_resolved_by_id_name_or_display_name(stitch):
    github = stitch.add_source("github", display_name="GitHub", streams={"a": 1})

    assert {
        StitchHook().resolve_source(source).id for source in ("github", "GitHub", github, str(github))
    } == {github}
    with pytest.raises(UnknownSource):
        StitchHook().resolve_source("githob")
    with pytest.raises(UnknownSource):
        StitchHook().resolve_source("9" * 5000)


# --- The request budget ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("airflow_database")
def test_hook_client_uses_the_account_request_budget(stitch, limit_requests):
    limit_requests(2)
    StitchHook().client.list_extractions()
    StitchHook(budget_timeout=0).client.list_loads()

    with pytest.raises(RateLimited, match="2 in 10 minutes is reached") as caught:
        StitchHook(budget_timeout=0).client.list_extractions()

    assert 0 < caught.value.retry_after <= 600
    assert len(stitch.limited_requests) == 2


@pytest.mark.usefixtures("airflow_database")
def test_requests_of_the_hook_count_in_other_processes(stitch, limit_requests):
    """All processes with the same AIRFLOW_HOME share one file for the request budget."""
    limit_requests(3)
    hook = StitchHook()
    hook.client.list_extractions()

    other = SharedRequestBudget(3, airflow_home(), (hook.client.base_url, hook.client.client_id))
    assert sum(free_in > 0 for free_in in other.window().available_in) == 1


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("numbers", [(2, 1, 3), (1, 3, 1), (3, 2, 3)])
def test_budget_follows_changes_of_the_connection(stitch, limit_requests, numbers):
    for number in numbers:
        limit_requests(number)
        hook = StitchHook(budget_timeout=0)
        remaining = number - len(stitch.limited_requests)
        for _ in range(max(0, remaining)):
            hook.client.list_loads()
        with pytest.raises(RateLimited, match=f"{number} in 10 minutes is reached"):
            hook.client.list_loads()


def test_spellings_of_a_host_share_one_budget(connect):
    spellings = [
        "https://api.stitchdata.com",
        "https://api.stitchdata.com:443",
        "https://API.stitchdata.com",
        "api.stitchdata.com.",
        "https://Api.Stitchdata.Com.:443/",
        "api.stitchdata.com",
        "",
    ]

    budgets = set()
    for spelling in spellings:
        client = connect(host=spelling, login="104857").client
        session = AccountSession(StitchCaller(client, budget_folder=airflow_home()))
        budgets.add(id(session.budget))

    assert len(budgets) == 1
