"""StitchCreateAccountOperator in a real Airflow: first a place for the token, then the account; no trace."""

from __future__ import annotations

import json
import threading
from importlib.metadata import version

import pytest

from airflow_provider_stitch.operators.stitch import StitchCreateAccountOperator
from tests.airflow.test_secrets import left_behind
from tests.connect import endpoint_samples
from tests.connect.server import answer, running_server
from tests.secret_forms import forms_in

AIRFLOW_2 = version("apache-airflow").startswith("2.")
ON_AIRFLOW_2 = pytest.mark.skipif(not AIRFLOW_2, reason="only Airflow 2 gives tasks its database")
ON_AIRFLOW_3 = pytest.mark.skipif(AIRFLOW_2, reason="the REST API that takes connections so is Airflow 3's")

TOKEN = "at_9f8e7d6c5b4a-the-new-one"
PARTNER = {"partner_id": "oc_id_of_partner", "partner_secret": "oc_secret_of_partner"}
CREATED = answer({**endpoint_samples.ACCOUNT, "access_token": TOKEN})
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


def leaves_no_trace(ran):
    remains = left_behind()
    assert b"tenant_" in remains, "the database was looked at"
    for secret in (TOKEN, *PARTNER.values()):
        assert forms_in(secret, ran.output.encode()) == []
        assert forms_in(secret, remains) == []
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


@ON_AIRFLOW_2
def test_a_refused_account_leaves_no_connection(airflow, stitch, new_id):
    stitch.script(answer({"code": "ExistingUser", "message": "in use"}, 400))

    ran = run(airflow, connection_id=new_id)

    assert ran.states == {"create": "failed"}
    assert "EmailInUse" in ran.output
    assert stored(new_id) is None


@ON_AIRFLOW_3
def test_on_airflow_3_nothing_is_created_without_a_place_for_the_token(airflow, stitch, new_id):
    ran = run(airflow, connection_id=new_id)

    assert ran.states == {"create": "failed"}
    assert "airflow_api_conn_id" in ran.output
    assert "No account was created" in ran.output
    assert stitch.requests == []


# By Airflow's REST API.


@pytest.fixture
def api(tmp_path, monkeypatch, _database):
    """An Airflow connection to a real API server of Airflow 3; returns its id."""
    import uvicorn
    from airflow.api_fastapi.app import create_app

    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps({"ada": "password-of-ada"}))
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ada:admin")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
    server = uvicorn.Server(uvicorn.Config(create_app(apps="core"), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(timeout=0.05)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    fields = {"conn_type": "http", "host": url, "login": "ada", "password": "password-of-ada"}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(fields))
    yield "airflow_api"
    server.should_exit = True
    thread.join(timeout=10)


@ON_AIRFLOW_3
def test_the_token_is_stored_by_airflows_api_once(airflow, stitch, api, new_id):
    stitch.script(answer({"code": "ExistingUser", "message": "in use"}, 400), CREATED)
    refused = run(airflow, connection_id=new_id, airflow_api_conn_id=api)
    left = stored(new_id)
    first = run(airflow, connection_id=new_id, airflow_api_conn_id=api)
    second = run(airflow, connection_id=new_id, airflow_api_conn_id=api)

    assert [ran.state for ran in (refused, first, second)] == ["failed", "success", "success"]
    assert left is None, "an account that was refused leaves no connection"
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


def test_a_function_stores_the_token(airflow, stitch, new_id):
    written = []

    ran = run(
        airflow, connection_id=new_id, store=lambda conn_id, text: written.append((conn_id, json.loads(text)))
    )

    assert ran.state == "success"
    assert [conn_id for conn_id, _ in written] == [new_id, new_id]
    reserved, filled = (fields for _, fields in written)
    assert "password" not in reserved
    assert (filled["login"], filled["password"], filled["host"]) == ("104857", TOKEN, stitch.url)
    assert leaves_no_trace(ran)


def test_a_function_that_cannot_write_shows_itself_before_the_account_is_created(airflow, stitch, new_id):
    def store(conn_id, text):
        raise PermissionError("this vault is read-only")

    ran = run(airflow, connection_id=new_id, store=store)

    assert ran.states == {"create": "failed"}
    assert "read-only" in ran.output
    assert stitch.requests == []


def test_a_token_that_could_not_be_stored_is_told_without_it(airflow, stitch, new_id):
    def store(conn_id, text):
        if "password" in text:
            raise RuntimeError(text)

    ran = run(airflow, connection_id=new_id, store=store)

    assert ran.states == {"create": "failed"}
    assert "Stitch account 104857 was created, but its token could not be stored" in ran.output
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
