"""Credentials of setup operators: rendered as strings, and never stored by Airflow in clear."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import task

from airflow_provider_stitch.operators.stitch import StitchCreateDestinationOperator
from tests.connect.scripted_server import http_response, running_server

TEMPLATE = "{{ conn.warehouse.password }}"
WAREHOUSE = {"destination_type": "postgres", "name": "Warehouse", "properties": {"host": "pg"}}


@pytest.fixture
def rendered(monkeypatch):
    """The credentials that tasks rendered."""
    from airflow_provider_stitch.operators import _masking as masking

    seen = []
    monkeypatch.setattr(masking, "mask", seen.append)
    return seen


@pytest.fixture
def stitch(monkeypatch):
    with running_server() as server:
        server.script(http_response([]))
        fields = {"conn_type": "stitch", "host": server.url, "password": "ac_1", "login": "104857"}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(fields))
        yield server


def password(monkeypatch, value):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "postgres", "password": value}))


def run(airflow, credentials, **dag_options):
    with airflow.dag(**dag_options) as dag:
        StitchCreateDestinationOperator(
            task_id="create", retries=0, timeout=1, credentials=credentials, **WAREHOUSE
        )
    return airflow.run(dag)


@pytest.mark.usefixtures("stitch")
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("secret", ["'quoted'", "12345678", "[1]", "True", "None", "1e3", "{'a': 1}", " x "])
def test_credentials_are_rendered_as_strings(airflow, rendered, monkeypatch, native, secret):
    password(monkeypatch, secret)

    run(airflow, {"password": TEMPLATE}, render_template_as_native_obj=native)

    assert rendered == [secret]


@pytest.mark.parametrize("native", [False, True])
def test_a_credential_of_a_connection_without_password_is_refused(airflow, stitch, monkeypatch, native):
    password(monkeypatch, None)

    ran = run(airflow, {"password": TEMPLATE}, render_template_as_native_obj=native)

    assert ran.states == {"create": "failed"}
    assert "The secret 'password' is empty" in ran.output
    assert stitch.requests == []


@pytest.mark.parametrize("credentials", ["hush_hush", ["hush_hush"], 5])
def test_credentials_that_are_no_dict_are_refused_without_showing_them(airflow, stitch, credentials):
    ran = run(airflow, credentials)

    assert ran.states == {"create": "failed"}
    assert "credentials must be a dict" in ran.output
    assert "hush_hush" not in ran.output
    assert stitch.requests == []


@pytest.mark.parametrize("whole", [False, True])
def test_the_result_of_a_task_is_refused_as_credentials(airflow, stitch, whole):
    with airflow.dag() as dag:

        @task
        def secrets():
            return {"password": "from XCom"}

        found = secrets()
        create = StitchCreateDestinationOperator(
            task_id="create",
            retries=0,
            credentials=found if whole else {"password": found["password"]},
            **WAREHOUSE,
        )
        found >> create
    ran = airflow.run(dag)

    assert ran.states["create"] == "failed"
    assert "must not be the result of a task" in ran.output
    assert "conn.<connection id>.password" in ran.output
    assert stitch.requests == []


LITERAL = {"password": "hush_hush"}
FINE = {"password": TEMPLATE}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda partial: partial(credentials=LITERAL).expand(name=["a", "b"]),
            id="partial",
        ),
        pytest.param(
            lambda partial: partial().expand(name=["a"], credentials=[FINE, LITERAL]),
            id="expand",
        ),
        pytest.param(
            lambda partial: partial().expand_kwargs([{"name": "a", "credentials": LITERAL}]),
            id="expand_kwargs",
        ),
        pytest.param(
            lambda partial: partial(credentials={"account": {"key": ["hush_hush"]}}).expand(name=["a"]),
            id="inside an object",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Task .* was never mapped")
def test_a_literal_credential_of_a_mapped_task_is_refused(airflow, make):
    def partial(**arguments):
        return StitchCreateDestinationOperator.partial(
            task_id="create", destination_type="postgres", **arguments
        )

    with airflow.dag(), pytest.raises(ValueError, match="in clear in the serialized DAG") as caught:
        make(partial)

    assert "conn.<connection id>.password" in str(caught.value)
    assert "hush_hush" not in str(caught.value)


def test_templates_are_rendered_in_mapped_tasks(airflow, stitch, rendered, monkeypatch):
    password(monkeypatch, "open sesame")

    with airflow.dag() as dag:
        StitchCreateDestinationOperator.partial(
            task_id="create", destination_type="postgres", retries=0, timeout=1, credentials=FINE
        ).expand(name=["a", "b"])
    airflow.run(dag)

    assert rendered == ["open sesame"] * 2


def test_a_literal_credential_that_a_task_returns_for_mapping_is_refused(airflow, stitch):
    with airflow.dag() as dag:

        @task
        def tenants():
            return [{"name": "a", "credentials": {"password": "hush_hush"}}]

        StitchCreateDestinationOperator.partial(
            task_id="create", destination_type="postgres", retries=0
        ).expand_kwargs(tenants())
    ran = airflow.run(dag)

    assert ran.states["create[0]"] == "failed"
    assert "Airflow has stored it in clear" in ran.output
    assert stitch.requests == []
