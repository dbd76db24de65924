"""StitchCreateAccountOperator in a real Airflow: first a place for the token, then the account; no trace."""

from __future__ import annotations

import json
import signal
import threading
from importlib.metadata import version

import pytest

from airflow_provider_stitch.operators import _token_storage as token_storage
from airflow_provider_stitch.operators._connections import store as connection_store
from airflow_provider_stitch.operators.stitch import StitchCreateAccountOperator
from tests.airflow.test_secret_leaks import left_behind
from tests.connect import endpoint_samples
from tests.connect.scripted_server import http_response, running_server
from tests.support.fake_vault import FOLDER, Vault
from tests.support.secret_encodings import find_encodings

AIRFLOW_2 = version("apache-airflow").startswith("2.")
ON_AIRFLOW_2 = pytest.mark.skipif(not AIRFLOW_2, reason="only Airflow 2 gives tasks its database")
ON_AIRFLOW_3 = pytest.mark.skipif(AIRFLOW_2, reason="the REST API that takes connections so is Airflow 3's")

TOKEN = "at_9f8e7d6c5b4a-the-new-one"
PARTNER = {"partner_id": "oc_id_of_partner", "partner_secret": "oc_secret_of_partner"}
CREATED = http_response({**endpoint_samples.ACCOUNT, "access_token": TOKEN})
CUSTOMER = {
    "company": "Acme",
    "user_email": "ada@acme.example",
    "first_name": "Ada",
    "last_name": "Example",
    "region": "us-east-1",
}


@pytest.fixture
def stitch(monkeypatch):
    """What the operator takes for Stitch, and a partner's connection to it."""
    with running_server() as server:
        server.script(CREATED)
        partner = {"conn_type": "stitch", "host": server.url, "extra": PARTNER}
        monkeypatch.setenv("AIRFLOW_CONN_PARTNER", json.dumps(partner))
        yield server


@pytest.fixture
def new_id(request, monkeypatch):
    """The id of a connection that no other test has."""
    return f"tenant_{abs(hash(request.node.nodeid))}"


def run(airflow, **options):
    with airflow.dag() as dag:
        StitchCreateAccountOperator(
            task_id="create", stitch_conn_id="partner", retries=0, **{**CUSTOMER, **options}
        )
    return airflow.run(dag)


def stored(conn_id):
    """The connection as Airflow's database has it."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(Connection).filter(Connection.conn_id == conn_id).one_or_none()
        return found and (found.conn_type, found.host, found.login, found.password)


def add_connection(conn_id, **fields):
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id=conn_id, **fields))


def update_connection(conn_id, **fields):
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(Connection).filter(Connection.conn_id == conn_id).one()
        for name, value in fields.items():
            setattr(found, name, value)


def delete_connection(conn_id):
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Connection).filter(Connection.conn_id == conn_id).delete()


def fail_to_find(conn_id, monkeypatch):
    """Let Airflow's own database look as if it had no such connection, as it does when a lookup fails."""
    if AIRFLOW_2:
        from airflow.secrets.metastore import MetastoreBackend as Backend
    else:
        from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend as Backend
    get_connection = Backend.get_connection

    def fail(self, asked=None, **kwargs):
        asked = kwargs.pop("conn_id", asked)
        return None if asked == conn_id else get_connection(self, asked, **kwargs)

    monkeypatch.setattr(Backend, "get_connection", fail)


def without_pauses(monkeypatch):
    policy = token_storage.retry_policy
    monkeypatch.setattr(token_storage, "retry_policy", lambda limit: policy(limit, sleep=lambda _: None))


def leaves_no_trace(ran):
    remains = left_behind()
    assert b"tenant_" in remains, "the database was looked at"
    for secret in (TOKEN, *PARTNER.values()):
        assert find_encodings(secret, ran.output.encode()) == []
        assert find_encodings(secret, remains) == []
    return True


@ON_AIRFLOW_2
def test_on_airflow_2_the_token_is_stored_by_the_task(airflow, stitch, new_id):
    ran = run(airflow, connection_id=new_id)

    assert ran.state == "success"
    assert ran.xcom["create"] == {
        "stitch_account_id": 104857,
        "connection_id": new_id,
        "created": True,
    }
    assert stored(new_id) == ("stitch", stitch.url, "104857", TOKEN)
    assert leaves_no_trace(ran)


REFUSALS = {
    "bad request": http_response({"code": "BadRequest", "message": "Invalid form data.", "errors": {}}, 400),
    "e-mail in use": http_response({"code": "ExistingUser", "message": "in use"}, 400),
    "problem": http_response({}, 500),
}


@pytest.fixture
def place(request):
    """Where the installed Airflow lets a task store a connection: the operator's arguments."""
    return {} if AIRFLOW_2 else {"airflow_api_conn_id": request.getfixturevalue("api")}


@pytest.mark.parametrize(
    ("refusal", "is_left"), [("bad request", False), ("e-mail in use", True), ("problem", True)]
)
def test_a_reservation_is_deleted_if_certainly_no_account_uses_it(
    airflow, stitch, new_id, place, refusal, is_left
):
    stitch.script(REFUSALS[refusal])

    ran = run(airflow, connection_id=new_id, **place)

    assert ran.states == {"create": "failed"}
    assert stored(new_id) == (("stitch", stitch.url, None, None) if is_left else None)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_connection_reserved_by_hand_is_never_deleted(airflow, stitch, new_id, place, refusal):
    add_connection(new_id, conn_type="stitch", extra='{"request_timeout": 60}')
    stitch.script(REFUSALS[refusal])

    ran = run(airflow, connection_id=new_id, **place)

    assert ran.states == {"create": "failed"}
    assert stored(new_id) == ("stitch", None, None, None)


def test_email_in_use_says_how_to_obtain_a_token(airflow, stitch, new_id, place):
    stitch.script(REFUSALS["e-mail in use"])

    ran = run(airflow, connection_id=new_id, **place)

    assert "EmailInUse" in ran.output
    assert "StitchAttachAccountOperator" in ran.output


EXISTING = {
    "a token": {"conn_type": "stitch", "login": "7", "password": "ac_of_tenant_7"},
    "another type": {"conn_type": "postgres", "host": "pg", "login": "stitch", "password": "pg_hush"},
    "partner credentials": {"conn_type": "stitch", "extra": json.dumps(PARTNER)},
    "an account": {"conn_type": "stitch", "login": "7"},
}


@pytest.mark.parametrize("kind", EXISTING)
@pytest.mark.parametrize("refusal", [*REFUSALS, None])
def test_an_existing_connection_that_airflow_fails_to_find_is_left(
    airflow, stitch, new_id, place, monkeypatch, kind, refusal
):
    add_connection(new_id, **EXISTING[kind])
    before = stored(new_id)
    if refusal is not None:
        stitch.script(REFUSALS[refusal])
    fail_to_find(new_id, monkeypatch)

    ran = run(airflow, connection_id=new_id, **place)

    assert ran.states == {"create": "failed"}
    assert stored(new_id) == before
    assert stitch.requests == []


@pytest.mark.parametrize("kind", ["another type", "partner credentials", "an account"])
def test_a_connection_in_other_use_is_refused(airflow, stitch, new_id, place, kind):
    add_connection(new_id, **EXISTING[kind])
    before = stored(new_id)

    ran = run(airflow, connection_id=new_id, **place)

    assert ran.states == {"create": "failed"}
    assert stored(new_id) == before
    assert stitch.requests == []


def test_a_connection_reserved_for_another_account_is_refused(airflow, stitch, new_id, place):
    stitch.script(REFUSALS["problem"])
    run(airflow, connection_id=new_id, **place)
    before = stored(new_id)

    ran = run(airflow, connection_id=new_id, **{**place, "user_email": "bob@acme.example"})
    again = run(airflow, connection_id=new_id, **place)

    assert ran.states == {"create": "failed"}
    assert "reserved for the account of another user_email" in ran.output
    assert stored(new_id) == before
    assert "HTTP 500" in again.output, "the reservation of an earlier try is used"
    assert len(stitch.requests) == 2


def test_an_id_that_airflow_refuses_is_reported_before_the_account_is_created(airflow, stitch, place):
    ran = run(airflow, connection_id="tenant with spaces", **place)

    assert ran.states == {"create": "failed"}
    assert "only connection ids of" in ran.output
    assert stitch.requests == []


def test_a_connection_that_hides_the_store_is_refused(airflow, stitch, new_id, place, monkeypatch):
    monkeypatch.setenv(f"AIRFLOW_CONN_{new_id.upper()}", json.dumps({"conn_type": "stitch"}))

    ran = run(airflow, connection_id=new_id, **place)

    assert ran.states == {"create": "failed"}
    assert "would hide the token" in ran.output
    assert stored(new_id) is None
    assert stitch.requests == []


def test_a_connection_that_hides_the_stored_token_is_reported(airflow, stitch, new_id, place, monkeypatch):
    other = json.dumps({"conn_type": "stitch", "password": "ac_other"})

    def create(connection):
        monkeypatch.setenv(f"AIRFLOW_CONN_{new_id.upper()}", other)
        connection.sendall(CREATED)

    stitch.script(create)

    ran = run(airflow, connection_id=new_id, **place)

    assert ran.states == {"create": "failed"}
    assert f"AIRFLOW_CONN_{new_id.upper()}" in ran.output
    assert stored(new_id) == ("stitch", stitch.url, "104857", TOKEN)
    assert leaves_no_trace(ran)


def test_a_connection_written_by_another_run_is_not_overwritten(airflow, stitch, new_id, place):
    """Both runs found no connection. The other one stores its token while Stitch creates our account."""

    def create(connection):
        update_connection(new_id, login="7", password="ac_of_tenant_7")
        connection.sendall(CREATED)

    stitch.script(create)

    ran = run(airflow, connection_id=new_id, **place)

    assert ran.states == {"create": "failed"}
    assert "Stitch account 104857 has a token that could not be stored" in ran.output
    assert stored(new_id)[2:] == ("7", "ac_of_tenant_7")


def test_a_reservation_that_disappears_is_created_again(airflow, stitch, new_id, place):
    def create(connection):
        delete_connection(new_id)
        connection.sendall(CREATED)

    stitch.script(create)

    ran = run(airflow, connection_id=new_id, **place)

    assert ran.state == "success"
    assert stored(new_id) == ("stitch", stitch.url, "104857", TOKEN)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM])  # Airflow handles SIGTERM in its own way
def test_a_signal_while_the_token_is_held_ends_the_task_after_storing_it(
    airflow, stitch, new_id, place, monkeypatch, number
):
    received = []
    before = signal.signal(number, lambda *_: received.append(stored(new_id)))

    def create(connection):
        signal.pthread_kill(threading.main_thread().ident, number)
        connection.sendall(CREATED)

    stitch.script(create)
    try:
        ran = run(airflow, connection_id=new_id, **place)
    finally:
        signal.signal(number, before)

    assert ran.state == "success"
    assert received == [("stitch", stitch.url, "104857", TOKEN)]


def test_storing_is_retried_while_the_token_is_held(airflow, stitch, vault, new_id, monkeypatch):
    attempts = []
    without_pauses(monkeypatch)

    def store(conn_id, text):
        if "password" in text:
            attempts.append(conn_id)
            if len(attempts) < 4:
                raise PermissionError(text)
        vault.write(conn_id, text)

    ran = run(airflow, connection_id=new_id, store=store)

    assert ran.state == "success"
    assert json.loads(vault.read(new_id))["password"] == TOKEN
    assert leaves_no_trace(ran)


# By a function, into a secrets backend that cannot be read for a while.


@pytest.mark.parametrize("answered", [CREATED, *REFUSALS.values()], ids=["created", *REFUSALS])
def test_a_token_in_a_vault_that_cannot_be_read_is_not_overwritten(
    airflow, stitch, vault, new_id, monkeypatch, answered
):
    monkeypatch.setattr(connection_store, "LOOKUP_TIMEOUT", 0.0)
    existing = json.dumps({"conn_type": "stitch", "login": "7", "password": "ac_of_tenant_7"})
    vault.write(new_id, existing)
    vault.seal()
    stitch.script(answered)

    ran = run(airflow, connection_id=new_id, store=vault.write)

    assert ran.states == {"create": "failed"}
    assert "could not be looked up" in ran.output
    assert vault.read(new_id) == existing
    assert stitch.requests == []


def test_a_function_that_writes_where_airflow_does_not_read_is_noticed(
    airflow, stitch, tmp_path, new_id, monkeypatch
):
    monkeypatch.setattr(connection_store, "LOOKUP_TIMEOUT", 0.0)

    ran = run(airflow, connection_id=new_id, store=Vault(tmp_path).write)

    assert ran.states == {"create": "failed"}
    assert "Airflow does not find it" in ran.output
    assert stitch.requests == []


@ON_AIRFLOW_3
def test_on_airflow_3_nothing_is_created_without_a_place_for_the_token(airflow, stitch, new_id):
    ran = run(airflow, connection_id=new_id)

    assert ran.states == {"create": "failed"}
    assert "airflow_api_conn_id" in ran.output
    assert "No account was created" in ran.output
    assert stitch.requests == []


# By Airflow's REST API.


@pytest.fixture(scope="module")
def api_server(tmp_path_factory, _database):
    """A real API server of Airflow 3, and its address."""
    import uvicorn
    from airflow.api_fastapi.app import create_app

    passwords = tmp_path_factory.mktemp("api") / "passwords.json"
    passwords.write_text(json.dumps({"ada": "password-of-ada"}))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ada:admin")
        environment.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
        server = uvicorn.Server(uvicorn.Config(create_app(apps="core"), port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            thread.join(timeout=0.05)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def api(api_server, monkeypatch):
    """An Airflow connection to the API server; returns its id."""
    fields = {"conn_type": "http", "host": api_server, "login": "ada", "password": "password-of-ada"}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(fields))
    return "airflow_api"


@ON_AIRFLOW_3
def test_the_token_is_stored_by_airflows_api_once(airflow, stitch, api, new_id):
    stitch.script(http_response({"code": "ExistingUser", "message": "in use"}, 400), CREATED)
    refused = run(airflow, connection_id=new_id, airflow_api_conn_id=api)
    left = stored(new_id)
    first = run(airflow, connection_id=new_id, airflow_api_conn_id=api)
    second = run(airflow, connection_id=new_id, airflow_api_conn_id=api)

    assert [ran.state for ran in (refused, first, second)] == ["failed", "success", "success"]
    assert left == ("stitch", stitch.url, None, None), "nothing is deleted if the e-mail is in use"
    assert stored(new_id) == ("stitch", stitch.url, "104857", TOKEN)
    assert first.xcom["create"]["created"] is True
    assert second.xcom["create"] == {
        "stitch_account_id": 104857,
        "connection_id": new_id,
        "created": False,
    }
    assert len(stitch.requests) == 2
    assert leaves_no_trace(first)


# By a function.


@pytest.fixture
def vault(tmp_path, monkeypatch):
    """A secrets backend of Airflow, into which a function of the user's can write."""
    folder = tmp_path / "vault"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "tests.support.fake_vault.VaultBackend")
    monkeypatch.setenv(FOLDER, str(folder))
    return Vault(folder)


def test_a_function_stores_the_token(airflow, stitch, vault, new_id):
    written = []

    def store(conn_id, text):
        written.append((conn_id, json.loads(text)))
        vault.write(conn_id, text)

    ran = run(airflow, connection_id=new_id, store=store)

    assert ran.state == "success"
    assert [conn_id for conn_id, _ in written] == [f"{new_id}__probe", new_id]
    probe, filled = (fields for _, fields in written)
    assert "password" not in probe
    assert (filled["login"], filled["password"], filled["host"]) == ("104857", TOKEN, stitch.url)
    assert leaves_no_trace(ran)


def test_a_function_that_cannot_write_shows_itself_before_the_account_is_created(airflow, stitch, new_id):
    def store(conn_id, text):
        raise PermissionError("this vault is read-only")

    ran = run(airflow, connection_id=new_id, store=store)

    assert ran.states == {"create": "failed"}
    assert "read-only" in ran.output
    assert stitch.requests == []


def test_a_token_that_could_not_be_stored_is_told_without_it(airflow, stitch, vault, new_id, monkeypatch):
    def store(conn_id, text):
        if "password" in text:
            raise RuntimeError(text)
        vault.write(conn_id, text)

    monkeypatch.setattr(token_storage, "STORING_TIMEOUT", 0.0)

    ran = run(airflow, connection_id=new_id, store=store)

    assert ran.states == {"create": "failed"}
    assert "Stitch account 104857 has a token that could not be stored" in ran.output
    assert "Create an API access key in that account" in ran.output
    assert vault.connections == {f"{new_id}__probe"}
    assert leaves_no_trace(ran)


def test_an_existing_connection_with_a_token_is_left_alone(airflow, stitch, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TENANT", json.dumps({"conn_type": "stitch", "password": "ac_there"}))

    ran = run(airflow, connection_id="tenant", store=lambda *_: None)

    assert ran.xcom["create"] == {"stitch_account_id": None, "connection_id": "tenant", "created": False}
    assert stitch.requests == []


def test_a_connection_of_another_type_is_not_written_over(airflow, stitch, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TENANT", json.dumps({"conn_type": "postgres"}))

    ran = run(airflow, connection_id="tenant", store=lambda *_: pytest.fail("it was written over"))

    assert ran.states == {"create": "failed"}
    assert "of type postgres" in ran.output
    assert stitch.requests == []


def test_the_token_goes_to_one_place():
    with pytest.raises(ValueError, match="not both"):
        StitchCreateAccountOperator(
            task_id="create", connection_id="a", airflow_api_conn_id="b", store=print, **CUSTOMER
        )


@pytest.mark.usefixtures("_database")
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"host": "http://airflow.example:8080"}, id="plain HTTP"),
        pytest.param({"host": "airflow.example", "schema": "http"}, id="plain HTTP in two fields"),
        pytest.param({}, id="no address"),
    ],
)
def test_a_token_is_not_sent_to_airflows_api_over_plain_http(airflow, stitch, monkeypatch, new_id, fields):
    api = {"conn_type": "http", "login": "ada", "password": "a", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(api))

    ran = run(airflow, connection_id=new_id, airflow_api_conn_id="airflow_api")

    assert ran.states == {"create": "failed"}
    assert "must be an https:// address" in ran.output
    assert stitch.requests == []
