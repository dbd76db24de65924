"""Test how the connection extra `redis_conn_id` affects the Redis client, the Test button, and tasks."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time

import pytest

from airflow_provider_stitch.connect.errors import RateLimited, StitchConfigurationError
from airflow_provider_stitch.hooks.redis_connection import redis_client_of
from airflow_provider_stitch.hooks.stitch import StitchHook, shared_client_from
from airflow_provider_stitch.replication.budget import redis_store
from airflow_provider_stitch.replication.budget.hosts_limiter import HostsRequestBudget
from tests.support.redis_servers import redis_over_tcp

SECRET = "correct-horse-battery"


@pytest.fixture
def connect(stitch, monkeypatch, airflow_database):
    """Return a function that sets the Stitch and Redis connections in Airflow, and returns a StitchHook."""

    def connect(redis_conn_id="redis_shared", **redis):
        connection = json.loads(stitch.connection_json())
        connection["extra"] = {"requests_per_10_minutes": 3, "redis_conn_id": redis_conn_id}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(connection))
        if redis:
            monkeypatch.setenv("AIRFLOW_CONN_REDIS_SHARED", json.dumps({"conn_type": "redis", **redis}))
        return StitchHook(budget_timeout=0)

    return connect


@pytest.fixture(scope="module")
def port():
    with redis_over_tcp() as port:
        yield port


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def redis_client(hook):
    return redis_client_of(hook.get_connection("stitch_default"))


def test_requests_of_the_hook_are_counted_in_redis(stitch, connect, port, tmp_path):
    hook = connect(host="127.0.0.1", port=port)
    with pytest.raises(RateLimited):
        # Redis does not contain a request count yet, so the hook sends no request for a whole window
        hook.client.list_loads()
    assert stitch.limited_requests == []

    other_host = HostsRequestBudget(3, tmp_path, (hook.client.base_url, hook.client.client_id))
    other_host.set_redis("stitch", hook.client.redis)
    assert "Redis has no count" in other_host.window().reason
    assert min(other_host.window().available_in) > 600


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"redis_conn_id": "missing"}, "'missing', but Airflow has no connection", id="missing"),
        pytest.param({"redis_conn_id": 7}, "must be the id of an Airflow connection", id="number"),
        pytest.param({"redis_conn_id": "stitch_default"}, "type is 'stitch' and not 'redis'", id="type"),
        pytest.param({"login": "user"}, "has no host", id="no host"),
        pytest.param({"host": "redis", "extra": {"db": "stitch"}}, "'db' is not the number", id="database"),
    ],
)
def test_wrong_redis_conn_id_is_rejected_with_the_reason(connect, fields, reason):
    hook = connect(**fields)

    with pytest.raises(StitchConfigurationError, match=reason) as caught:
        hook.client  # noqa: B018
    assert hook.test_connection() == (False, str(caught.value))
    assert "redis_conn_id" in str(caught.value)


def test_wrong_redis_conn_id_fails_the_task_without_a_retry(airflow, stitch, connect, github):
    from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

    connect(redis_conn_id="missing")
    with airflow.dag() as dag:
        StitchRunReplicationJobOperator(task_id="run", source="github", retries=2, deferrable=True)
    run = airflow.run(dag)

    assert run.states == {"run": "failed"}
    assert "names the connection 'missing', but Airflow has no connection with this id" in run.output


def test_test_button_reports_a_redis_that_does_not_respond(connect):
    is_ok, message = connect(host="127.0.0.1", port=closed_port(), password=SECRET).test_connection()

    assert not is_ok
    assert "not to the Redis that redis_conn_id names: ConnectionError" in message
    assert SECRET not in message


def test_test_button_accepts_a_redis_that_responds(connect, port):
    is_ok, message = connect(host="127.0.0.1", port=port).test_connection()

    assert is_ok
    assert message.startswith("Connected to Stitch account")


def test_test_button_reports_a_redis_that_refuses_the_script(connect, port, monkeypatch):
    # Some Redis servers respond to a ping but reject the script, for example a replica, an old version, a
    # cluster node, or a server that denies the user access.
    refusal = "READONLY You can't write against a read only replica."
    monkeypatch.setattr(redis_store, "SCRIPT", f'return redis.error_reply("{refusal}")')

    is_ok, message = connect(host="127.0.0.1", port=port).test_connection()

    assert not is_ok
    assert "names: ReadOnlyError: You can't write against a read only replica. Check the server" in message


def test_test_button_leaves_the_count_as_it_is(connect, port):
    hook = connect(host="127.0.0.1", port=port)
    keys = set(redis_client(hook).keys())

    assert hook.test_connection()[0]
    assert set(redis_client(hook).keys()) == keys


def test_task_continues_without_redis_and_warns_once(stitch, connect, caplog):
    caplog.set_level(logging.WARNING)
    hook = connect(host="127.0.0.1", port=closed_port(), password=SECRET)
    started = time.process_time()

    hook.client.list_loads()
    hook.client.list_extractions()

    assert time.process_time() - started < 5
    warnings = [message for message in caplog.messages if "Cannot use Redis" in message]
    assert len(warnings) == 1
    assert "never reached Redis" in warnings[0]
    assert SECRET not in caplog.text
    assert len(stitch.limited_requests) == 2


def test_fields_of_the_redis_connection_reach_the_client(connect):
    extra = {"db": "4", "ssl": True, "ssl_cert_reqs": "none"}
    hook = connect(host="redis.example", port=6400, login="airflow", password=SECRET, extra=extra)

    client = redis_client(hook)
    arguments = client.connection_pool.connection_kwargs

    expected = {"host": "redis.example", "port": 6400, "db": 4, "username": "airflow", "password": SECRET}
    assert expected.items() <= arguments.items()
    assert arguments["ssl_cert_reqs"] == "none"
    assert client.get_retry().get_retries() == 0
    assert redis_client(hook) is client
    assert SECRET not in repr(hook.client)


def test_changed_redis_connection_gets_another_client(connect):
    first = shared_client_from(connect(host="one").get_connection("stitch_default"))
    assert shared_client_from(connect(host="one").get_connection("stitch_default")) is first

    second = shared_client_from(connect(host="two").get_connection("stitch_default"))
    assert second is not first
    assert second.redis is not first.redis


WITHOUT_REDIS = """
import sys
sys.modules["redis"] = None
from airflow_provider_stitch.hooks.stitch import StitchHook
StitchHook().client.list_extractions()
try:
    StitchHook("shared").client
except Exception as error:
    print(error)
"""


def test_package_redis_is_imported_only_with_redis_conn_id(stitch, monkeypatch, airflow_database):
    monkeypatch.setenv("AIRFLOW_CONN_REDIS_SHARED", json.dumps({"conn_type": "redis", "host": "redis"}))
    shared = {"conn_type": "stitch", "password": "ac_token", "extra": {"redis_conn_id": "redis_shared"}}
    monkeypatch.setenv("AIRFLOW_CONN_SHARED", json.dumps(shared))

    command = [sys.executable, "-c", WITHOUT_REDIS]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert len(stitch.limited_requests) == 1
    assert "Install 'airflow-provider-stitch[redis]', or remove the extra." in output
