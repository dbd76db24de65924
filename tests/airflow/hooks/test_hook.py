"""StitchHook: the connection's fields, and what is refused."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.connect.errors import (
    RateLimited,
    StitchConfigurationError,
    UnknownSource,
)
from airflow_provider_stitch.hooks.stitch import StitchHook, airflow_home
from airflow_provider_stitch.replication.budget.limiter import SharedRequestBudget
from airflow_provider_stitch.replication.polling.caller import AccountSession


@pytest.fixture
def connect(monkeypatch, airflow_database):
    """Set the connection and return its hook."""

    def connect(**fields):
        connection = {"conn_type": "stitch", "password": "ac_token", **fields}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))
        return StitchHook()

    return connect


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        pytest.param({}, "https://api.stitchdata.com", id="nothing"),
        pytest.param({"host": "https://stitch.example/"}, "https://stitch.example", id="an address"),
        pytest.param({"host": "stitch.example"}, "https://stitch.example", id="a host"),
        pytest.param(
            {"host": "127.0.0.1", "schema": "http", "port": 81}, "http://127.0.0.1:81", id="from a URI"
        ),
    ],
)
def test_the_host_is_the_base_url(connect, fields, base_url):
    assert connect(**fields).client.base_url == base_url


def test_login_and_extras_reach_the_client(connect):
    extra = {"request_timeout": 7.5, "requests_per_10_minutes": "12"}

    client = connect(login="104857", extra=extra).client

    assert (client.client_id, client.request_timeout, client.requests_per_10_minutes) == (104857, 7.5, 12)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"password": ""}, "token", id="no token"),
        pytest.param({"password": "oc_secret"}, "partner credential", id="a partner credential for a token"),
        pytest.param({"host": "http://api.stitchdata.com"}, "HTTPS", id="plain HTTP"),
        pytest.param({"host": "https://user:pass@api.stitchdata.com"}, "user", id="a user in the base URL"),
        pytest.param({"login": "oc_secret"}, "client ID.*no number", id="a client id that is no number"),
        pytest.param(
            {"extra": {"request_timeout": "soon"}}, "request_timeout.*a number", id="a timeout in words"
        ),
        pytest.param(
            {"extra": {"request_timeout": -3}}, "request_timeout.*a number", id="a negative timeout"
        ),
        pytest.param(
            {"extra": {"request_timeout": True}}, "request_timeout.*a number", id="a timeout that is a truth"
        ),
        pytest.param({"extra": {"requests_per_10_minutes": 0}}, "requests_per_10_minutes", id="no requests"),
        pytest.param(
            {"extra": {"requests_per_10_minutes": 1.5}}, "requests_per_10_minutes", id="half a request"
        ),
        pytest.param({"extra": {"requests_per_10_minutes": [30]}}, "requests_per_10_minutes", id="a list"),
    ],
)
def test_a_connection_that_makes_no_sense_is_refused_with_the_reason(connect, fields, words):
    hook = connect(**fields)

    with pytest.raises(StitchConfigurationError, match=words) as caught:
        hook.client  # noqa: B018
    worked, said = hook.test_connection()

    assert not worked
    assert said == str(caught.value)
    assert "oc_secret" not in said
    assert "pass@" not in said


PARTNER = {"partner_id": "oc_id_hush", "partner_secret": "oc_secret_hush"}


def test_partner_credentials_alone_create_accounts_and_nothing_else(connect):
    hook = connect(password=None, host="https://stitch.example", extra=PARTNER)

    assert hook.partner.base_url == "https://stitch.example"
    with pytest.raises(
        StitchConfigurationError, match="'stitch_default' has no access token but partner"
    ) as caught:
        hook.client  # noqa: B018
    assert "hush" not in str(caught.value)


def test_partner_credentials_are_looked_at_and_not_tried(connect):
    worked, said = connect(password=None, extra=PARTNER).test_connection()

    assert worked
    assert "not tried" in said
    assert "hush" not in said


@pytest.mark.parametrize("missing", ["partner_id", "partner_secret"])
def test_half_of_the_partner_credentials_are_none(connect, missing):
    hook = connect(password=None, extra={**PARTNER, missing: ""})

    worked, said = hook.test_connection()

    assert not worked
    assert missing in said
    assert "hush" not in said
    with pytest.raises(StitchConfigurationError, match="partner_id"):
        connect(password=None).partner  # noqa: B018


def test_partner_credentials_as_login_and_password_belong_into_the_extras(connect):
    with pytest.raises(StitchConfigurationError, match="partner_secret into the extras") as caught:
        connect(login="oc_id_hush", password="oc_secret_hush").partner  # noqa: B018

    assert "hush" not in str(caught.value)


def test_a_connection_may_hold_both_a_token_and_partner_credentials(connect):
    hook = connect(extra=PARTNER)

    assert hook.client.base_url == hook.partner.base_url == "https://api.stitchdata.com"


@pytest.mark.usefixtures("airflow_database")
def test_test_connection_sums_up_the_account(stitch):
    stitch.add_source("github", streams={"a": 1})
    stitch.pause_source(stitch.add_source("paused", streams={"a": 1}))
    stitch.pause_source(stitch.add_source("paused_by_stitch", streams={"a": 1}), by_stitch=True)
    stitch.delete_source(stitch.add_source("deleted", streams={"a": 1}))

    assert StitchHook().test_connection() == (
        True,
        "Connected to Stitch account 104857: 3 sources, 2 of them paused.",
    )


@pytest.mark.usefixtures("airflow_database")
def test_test_connection_says_what_is_wrong_with_the_token(stitch):
    stitch.disable_token()

    worked, said = StitchHook().test_connection()

    assert not worked
    assert "access token" in said


def test_the_account_is_found_when_the_connection_does_not_name_it(connect, stitch):
    stitch.add_source("github", streams={"a": 1})

    assert connect(host=stitch.url, password=stitch.access_token).client.client_id == 104857


def test_the_client_id_of_another_account_is_refused(connect, stitch):
    stitch.add_source("github", streams={"a": 1})
    hook = connect(host=stitch.url, password=stitch.access_token, login="999")

    with pytest.raises(StitchConfigurationError, match="999, but its token belongs to account 104857"):
        hook.resolve_source("github")
    assert hook.test_connection()[0] is False


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("form", [int, str])
def test_a_source_s_id_needs_no_list_of_all_sources(stitch, form):
    github = stitch.add_source("github", streams={"a": 1})

    assert StitchHook().resolve_source(form(github)).name == "github"
    assert [request.path for request in stitch.requests] == [f"/v4/sources/{github}"]


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_source_whose_name_is_a_number_is_found_if_no_living_one_has_it_as_id(stitch, is_deleted):
    github = stitch.add_source("github", streams={"a": 1})
    if is_deleted:
        StitchHook().client.delete_source(github)
    number = str(github if is_deleted else github + 1000)
    named = stitch.add_source(number, streams={"a": 1})

    assert StitchHook().resolve_source(number).id == named


@pytest.mark.usefixtures("airflow_database")
def test_a_source_is_found_by_its_name(stitch):
    github = stitch.add_source("github", display_name="GitHub", streams={"a": 1})

    assert {
        StitchHook().resolve_source(source).id for source in ("github", "GitHub", github, str(github))
    } == {github}
    with pytest.raises(UnknownSource):
        StitchHook().resolve_source("githob")
    with pytest.raises(UnknownSource):
        StitchHook().resolve_source("9" * 5000)


# --- The request budget ---------------------------------------------------------------------------------


@pytest.fixture
def limit(stitch, monkeypatch, airflow_database):
    """Give the connection a number of requests."""

    def limit(number: int) -> None:
        connection = json.loads(stitch.connection_json())
        connection["extra"] = {"requests_per_10_minutes": number}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))

    return limit


def test_client_of_the_hook_counts_in_the_budget_of_the_account(stitch, limit):
    limit(2)
    StitchHook().client.list_extractions()
    StitchHook(budget_timeout=0).client.list_loads()

    with pytest.raises(RateLimited, match="2 in 10 minutes is reached") as caught:
        StitchHook(budget_timeout=0).client.list_extractions()

    assert 0 < caught.value.retry_after <= 600
    assert len(stitch.limited_requests) == 2


def test_another_process_counts_the_requests_of_the_hook(stitch, limit):
    """Any process with the same Airflow home has the same file."""
    limit(3)
    hook = StitchHook()
    hook.client.list_extractions()

    other = SharedRequestBudget(3, airflow_home(), (hook.client.base_url, hook.client.client_id))
    assert sum(free_in > 0 for free_in in other.window().available_in) == 1


@pytest.mark.parametrize("numbers", [(2, 1, 3), (1, 3, 1), (3, 2, 3)])
def test_budget_follows_the_connection_up_and_down(stitch, limit, numbers):
    for number in numbers:
        limit(number)
        hook = StitchHook(budget_timeout=0)
        left = number - len(stitch.limited_requests)
        for _ in range(max(0, left)):
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
        reader = AccountSession(client, budget_folder=airflow_home())
        budgets.add(id(reader.budget))

    assert len(budgets) == 1
