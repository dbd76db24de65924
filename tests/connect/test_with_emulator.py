"""Test the client against the emulator over HTTP.

The client and the emulator are two independent interpretations of Stitch's documentation.
The tests cover each endpoint, and each documented error that a client can cause.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import requests

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.endpoints import ENDPOINTS
from airflow_provider_stitch.connect.errors import (
    DeletedSource,
    EmailInUse,
    ExtractionLogNotFound,
    InvalidProperties,
    JobAlreadyRunning,
    LimitReached,
    NameInUse,
    NotInPlan,
    StitchBadRequest,
    StitchNotFound,
    StitchUnauthorized,
    UnknownDestination,
    UnknownSource,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects import StreamUpdate
from airflow_provider_stitch.connect.partner import StitchPartner
from airflow_provider_stitch.emulator import StitchEmulator

ACCOUNT = {
    "company": "Acme",
    "email": "ada@acme.example",
    "first_name": "Ada",
    "last_name": "Example",
    "region": "eu-central-1",
}
GITHUB = {"access_token": "ghp_hush", "repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"}
POSTGRES = {
    "host": "pg.acme.example",
    "port": "5432",
    "database": "dwh",
    "username": "stitch",
    "password": "hush",
}
HOOK_URL = "https://hooks.acme.example/stitch"


@pytest.fixture
def stitch():
    with StitchEmulator() as stitch:
        yield stitch


@pytest.fixture
def client(stitch):
    with StitchClient(stitch.access_token, base_url=stitch.url) as client:
        yield client


@pytest.fixture
def partner(stitch):
    with StitchPartner(stitch.partner_id, stitch.partner_secret, base_url=stitch.url) as partner:
        yield partner


@pytest.fixture
def github(stitch):
    return stitch.add_source("github", streams={"commits": 120, "issues": 0})


def shapes(endpoints):
    return {f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}" for method, path in endpoints}


def test_client_and_emulator_have_the_same_endpoints(stitch):
    described = requests.get(f"{stitch.url}/openapi.json", timeout=5).json()["paths"]

    served = shapes((method, path) for path, methods in described.items() for method in methods)
    used = shapes((each.method, each.path) for each in ENDPOINTS.values())

    assert used - served == set(), "used by the client, not served by the emulator"
    assert served - used == set(), "served by the emulator, not used by the client"


def used_endpoints(stitch):
    """Return the names of the endpoints to which the client has sent requests."""
    found = set()
    for request in stitch.requests:
        for name, endpoint in ENDPOINTS.items():
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(endpoint.path))
            if endpoint.method == request.method and re.fullmatch(pattern, request.path.partition("?")[0]):
                found.add(name)
    return found


def test_client_uses_every_endpoint_of_the_emulator(stitch, partner):
    account = partner.create_account(**ACCOUNT)
    tenant = stitch.account(account.stitch_account_id)
    tenant.plan_new_sources("platform.github", streams={"commits": 120, "issues": 0})
    granted = partner.exchange_code(stitch.add_oauth_code(tenant))
    assert granted.stitch_account_id == account.stitch_account_id

    client = StitchClient(account.access_token.reveal(), base_url=stitch.url)
    ephemeral = client.create_ephemeral_token()
    assert ephemeral.expires_at <= client.stitch_time + timedelta(hours=1)
    _through_destinations(stitch, client)
    source = _through_sources(stitch, client)
    _through_streams(stitch, client, source)
    _through_jobs(stitch, client, source)
    _through_notifications(client)
    _through_import_tokens(client)
    _through_endings(client, source)

    assert used_endpoints(stitch) == set(ENDPOINTS)


def _through_destinations(stitch, client):
    assert "snowflake" in {each.type for each in client.list_destination_types()}
    assert client.get_destination_type("postgres").missing_properties
    created = client.create_destination("postgres", POSTGRES, name="Warehouse", description="Of Acme.")
    assert client.client_id == created.stitch_client_id
    assert "password" not in created.properties
    stitch.advance(10)
    assert client.get_last_destination_check(created.id).status == "succeeded"
    updated = client.update_destination(created.id, {"port": "5433"})
    assert (updated.id, updated.properties["port"]) == (created.id, "5433")
    assert [each.name for each in client.list_destinations(destination_id=created.id)] == ["Warehouse"]
    [old] = client.list_destinations_v3()
    assert (old.id, old.type, old.connection["port"]) == (created.id, "postgres", "5433")


def _through_sources(stitch, client):
    assert len(client.list_source_types()) > 5
    wanted = client.get_source_type("platform.github")
    assert set(wanted.missing_properties) == {"access_token", "repository", "start_date"}
    source = client.create_source("platform.github", "GitHub", properties=GITHUB)
    assert (source.name, source.current_step) == ("github", "discover_schema")
    stitch.advance(10)
    check = client.get_last_connection_check(source.id)
    assert (check.status, check.completion_time is not None) == ("succeeded", True)
    assert client.get_source(source.id).current_step == "field_selection"
    assert [each.id for each in client.list_sources()] == [source.id]
    return source


def _through_streams(stitch, client, source):
    commits = next(each for each in client.list_streams(source.id) if each.stream_name == "commits")
    schema = client.get_stream_schema(source.id, commits.stream_id)
    available = next(name for name, each in schema.fields.items() if each.inclusion == "available")
    client.update_streams(
        source.id, [StreamUpdate(commits.tap_stream_id, selected=True, fields={available: True})]
    )
    schema = client.get_stream_schema(source.id, commits.stream_id)
    assert schema.metadata["selected"] is True
    assert schema.fields[available].is_replicated
    assert client.get_source(source.id).current_step == "fully_configured"


def _through_jobs(stitch, client, source):
    job = client.start_replication_job(source.id)
    with pytest.raises(JobAlreadyRunning):
        client.start_replication_job(source.id)
    stitch.advance(600)
    [extraction] = client.list_extractions().records
    assert extraction.job_name == job.job_name
    assert client.get_extraction_log(job.job_name).succeeded
    assert [load.stream_name for load in client.list_loads().records] == ["commits"]
    client.start_replication_job(source.id)
    client.stop_replication_job(source.id)


def _through_notifications(client):
    email = client.create_custom_email("alerts@acme.example")
    client.disable_custom_email(email.id)
    assert client.list_custom_emails()[0].disabled_at is not None
    client.enable_custom_email(email.id)
    assert client.list_custom_emails()[0].disabled_at is None
    client.delete_custom_email(email.id)
    assert client.list_custom_emails() == []
    [destination] = client.list_destinations()
    hook = client.create_post_load_hook(HOOK_URL, destination.id)
    assert (hook.url, hook.destination_id) == (HOOK_URL, destination.id)
    assert client.disable_post_load_hook(hook.id).disabled_at is not None
    assert client.enable_post_load_hook(hook.id).disabled_at is None
    assert [each.id for each in client.list_post_load_hooks()] == [hook.id]
    client.delete_post_load_hook(hook.id)
    assert client.list_post_load_hooks() == []


def _through_import_tokens(client):
    pushed = client.create_source("import_api", "Pushed")
    first, second = client.create_import_token(pushed.id), client.create_import_token(pushed.id)
    assert first.access_token != second.access_token
    assert {each.id for each in client.list_import_tokens(pushed.id)} == {first.id, second.id}
    with pytest.raises(StitchBadRequest):
        client.create_import_token(pushed.id)
    assert client.revoke_import_token(pushed.id, first.id).id == pushed.id
    assert [each.id for each in client.list_import_tokens(pushed.id)] == [second.id]


def _through_endings(client, source):
    assert client.update_source(source.id, display_name="Code").display_name == "Code"
    assert client.pause_source(source.id).paused_at is not None
    assert client.unpause_source(source.id).paused_at is None
    assert client.delete_source(source.id).deleted_at is not None
    [destination] = client.list_destinations()
    assert client.update_destination_v3(destination.id, "postgres", {"port": "5434"}).id == destination.id
    client.delete_destination(destination.id)
    assert client.list_destinations() == []
    assert client.create_destination_v3("postgres", POSTGRES).type == "postgres"


# Tests for errors that a client can cause. The tests in test_endpoint_errors.py cover errors that the client
# prevents by validating its arguments.


def twice(call):
    call()
    return call()


ERRORS = [
    (
        "D1",
        lambda s, c: s.limit_destinations(1),
        lambda c, g: c.create_destination("postgres", POSTGRES),
        LimitReached,
    ),
    ("D5", None, lambda c, g: c.update_destination(5, {"port": "1"}), UnknownDestination),
    ("D6", None, lambda c, g: c.delete_destination(5), UnknownDestination),
    ("S1", None, lambda c, g: c.create_source("platform.none", "None"), StitchBadRequest),
    ("S2, S5", None, lambda c, g: twice(lambda: c.create_source("import_api", "Twice")), NameInUse),
    (
        "S7",
        lambda s, c: s.allow_source_type("platform.github", False),
        lambda c, g: c.create_source("platform.github", "GitHub 2", properties=GITHUB),
        NotInPlan,
    ),
    (
        "S8",
        None,
        lambda c, g: c.update_source(g, properties={"frequency_in_minutes": "7"}),
        InvalidProperties,
    ),
    (
        "S9",
        lambda s, c: s.allow_cron(False),
        lambda c, g: c.update_source(g, properties={"cron_expression": "0 0 12 ? * MON *"}),
        NotInPlan,
    ),
    ("S13, update", None, lambda c, g: c.update_source(5, display_name="a"), UnknownSource),
    ("S13, pause", None, lambda c, g: c.pause_source(5), UnknownSource),
    ("S13, delete", None, lambda c, g: c.delete_source(5), UnknownSource),
    ("get", None, lambda c, g: c.get_source(5), UnknownSource),
    ("T1", None, lambda c, g: c.get_stream_schema(g, 5), UnknownStream),
    ("T2", None, lambda c, g: c.list_streams(5), UnknownSource),
    ("T4", None, lambda c, g: c.update_streams(g, [StreamUpdate("none", selected=True)]), UnknownStream),
    ("R1", None, lambda c, g: twice(lambda: c.start_replication_job(g)), JobAlreadyRunning),
    ("R2", None, lambda c, g: c.start_replication_job(5), UnknownSource),
    ("R3", lambda s, c: s.delete_source(310442), lambda c, g: c.start_replication_job(g), DeletedSource),
    ("X1", lambda s, c: s.disable_token(), lambda c, g: c.list_loads(), StitchUnauthorized),
    (
        "X2",
        None,
        lambda c, g: c.get_extraction_log(f"104857.{g}.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d"),
        ExtractionLogNotFound,
    ),
    (
        "N2",
        None,
        lambda c, g: [c.create_custom_email(f"a{number}@acme.example") for number in range(11)],
        LimitReached,
    ),
    (
        "N3",
        lambda s, c: s.allow_custom_emails(False),
        lambda c, g: c.create_custom_email("a@acme.example"),
        NotInPlan,
    ),
    ("N5", None, lambda c, g: c.enable_custom_email(5), StitchNotFound),
    (
        "H2",
        lambda s, c: s.allow_hooks(False),
        lambda c, g: c.create_post_load_hook(HOOK_URL, 155901),
        NotInPlan,
    ),
    (
        "H3",
        None,
        lambda c, g: [c.create_post_load_hook(f"{HOOK_URL}/{number}", 155901) for number in range(11)],
        LimitReached,
    ),
    ("H5", None, lambda c, g: c.delete_post_load_hook(5), StitchNotFound),
]


@pytest.mark.parametrize(
    ("arrange", "call", "error_class"), [pytest.param(*each[1:], id=each[0]) for each in ERRORS]
)
def test_error_of_the_emulator_raises_its_class(stitch, client, github, arrange, call, error_class):
    assert client.client_id == 104857
    if arrange is not None:
        arrange(stitch, client)

    with pytest.raises(error_class) as caught:
        call(client, github)

    assert type(caught.value) is error_class
    assert stitch.access_token not in str(caught.value)


def test_email_address_cannot_be_used_for_two_accounts(partner):
    partner.create_account(**ACCOUNT)

    with pytest.raises(EmailInUse):
        partner.create_account(**ACCOUNT)


@pytest.mark.parametrize("which", [0, 1])
def test_wrong_partner_credentials_raise_unauthorized(stitch, which):
    credentials = [stitch.partner_id, stitch.partner_secret]
    credentials[which] = "oc_wrong"

    with (
        StitchPartner(*credentials, base_url=stitch.url) as partner,
        pytest.raises(StitchUnauthorized, match="partner credentials"),
    ):
        partner.create_account(**ACCOUNT)


def test_authorization_code_is_valid_once(stitch, partner):
    code = stitch.add_oauth_code()
    assert partner.exchange_code(code).stitch_account_id == 104857

    with pytest.raises((StitchBadRequest, StitchUnauthorized)) as caught:
        partner.exchange_code(code)

    assert code not in str(caught.value)
