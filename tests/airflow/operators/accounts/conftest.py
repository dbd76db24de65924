"""Fixtures that replace Stitch with a scripted server, and that provide backends for storing connections."""

from __future__ import annotations

import json
import threading

import pytest

from tests.connect.scripted_server import running_server
from tests.support.account_creation import ACCOUNT_CREATED, PARTNER
from tests.support.airflow_connections import AIRFLOW_2
from tests.support.fake_vault import FOLDER, Vault


@pytest.fixture
def stitch(monkeypatch):
    """Start a fake Stitch server that creates accounts, and add an Airflow connection for a partner."""
    with running_server() as server:
        server.script(ACCOUNT_CREATED)
        partner = {"conn_type": "stitch", "host": server.url, "extra": PARTNER}
        monkeypatch.setenv("AIRFLOW_CONN_PARTNER", json.dumps(partner))
        yield server


@pytest.fixture
def new_id(request):
    """Return a connection id that no other test uses."""
    return f"tenant_{abs(hash(request.node.nodeid))}"


@pytest.fixture
def storage(request):
    """Return the operator arguments that are required to store a connection in the installed Airflow."""
    return {} if AIRFLOW_2 else {"airflow_api_conn_id": request.getfixturevalue("api_connection")}


@pytest.fixture(scope="module")
def api_server(tmp_path_factory, airflow_database):
    """Start a real Airflow 3 API server, and return its address."""
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
def api_connection(api_server, monkeypatch):
    """Add an Airflow connection that contains the address of the API server, and return the connection id."""
    fields = {"conn_type": "http", "host": api_server, "login": "ada", "password": "password-of-ada"}
    monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(fields))
    return "airflow_api"


@pytest.fixture
def vault(tmp_path, monkeypatch):
    """Configure a secrets backend to which a user-defined function can write."""
    folder = tmp_path / "vault"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "tests.support.fake_vault.VaultBackend")
    monkeypatch.setenv(FOLDER, str(folder))
    return Vault(folder)
