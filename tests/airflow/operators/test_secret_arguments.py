"""Test that operators render credentials as strings, and that Airflow stores no credential in plain text."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import task, task_group

from airflow_provider_stitch.operators._secrets import render_secrets
from airflow_provider_stitch.operators.stitch import (
    StitchAttachAccountOperator,
    StitchCreateDestinationOperator,
    StitchCreateHookOperator,
    StitchCreateSourceOperator,
)
from tests.connect.scripted_server import http_response, running_server

TEMPLATE = "{{ conn.warehouse.password }}"
WAREHOUSE = {"destination_type": "postgres", "name": "Warehouse", "properties": {"host": "pg"}}


@pytest.fixture
def rendered(monkeypatch):
    """Return a list to which each rendered credential is appended."""
    from airflow_provider_stitch.operators import _secrets as masking

    values = []
    monkeypatch.setattr(masking, "mask", values.append)
    return values


@pytest.fixture
def stitch(monkeypatch):
    with running_server() as server:
        server.script(http_response([]))
        fields = {"conn_type": "stitch", "host": server.url, "password": "ac_1", "login": "104857"}
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", json.dumps(fields))
        yield server


def set_password(monkeypatch, value):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "postgres", "password": value}))


def run_with_credentials(airflow, credentials, **dag_options):
    with airflow.dag(**dag_options) as dag:
        StitchCreateDestinationOperator(
            task_id="create", retries=0, timeout=1, credentials=credentials, **WAREHOUSE
        )
    return airflow.run(dag)


@pytest.mark.usefixtures("stitch")
@pytest.mark.parametrize("native", [False, True], ids=["strings", "native objects"])
@pytest.mark.parametrize("secret", ["'quoted'", "12345678", "[1]", "True", "None", "1e3", "{'a': 1}", " x "])
def test_credentials_are_rendered_as_strings(airflow, rendered, monkeypatch, native, secret):
    set_password(monkeypatch, secret)

    run_with_credentials(airflow, {"password": TEMPLATE}, render_template_as_native_obj=native)

    assert rendered == [secret]


@pytest.mark.parametrize("native", [False, True], ids=["strings", "native objects"])
def test_credential_of_a_connection_without_password_is_rejected(airflow, stitch, monkeypatch, native):
    set_password(monkeypatch, None)

    dag_run = run_with_credentials(airflow, {"password": TEMPLATE}, render_template_as_native_obj=native)

    assert dag_run.states == {"create": "failed"}
    assert "The secret 'password' is empty" in dag_run.output
    assert stitch.requests == []


@pytest.mark.parametrize("credentials", ["hush_hush", ["hush_hush"], 5])
def test_credentials_must_be_a_dict_and_are_not_shown(airflow, stitch, credentials):
    dag_run = run_with_credentials(airflow, credentials)

    assert dag_run.states == {"create": "failed"}
    assert "credentials must be a dict" in dag_run.output
    assert "hush_hush" not in dag_run.output
    assert stitch.requests == []


@pytest.mark.parametrize("is_whole_dict", [False, True], ids=["one value", "whole dict"])
def test_xcom_is_rejected_as_credentials(airflow, stitch, is_whole_dict):
    with airflow.dag() as dag:

        @task
        def secrets():
            return {"password": "from XCom"}

        found = secrets()
        create = StitchCreateDestinationOperator(
            task_id="create",
            retries=0,
            credentials=found if is_whole_dict else {"password": found["password"]},
            **WAREHOUSE,
        )
        found >> create
    dag_run = airflow.run(dag)

    assert dag_run.states["create"] == "failed"
    assert "must not be the result of a task" in dag_run.output
    assert "conn.<connection id>.password" in dag_run.output
    assert stitch.requests == []


LITERAL = {"password": "hush_hush"}
TEMPLATED = {"password": TEMPLATE}


@pytest.mark.parametrize(
    "map_task",
    [
        pytest.param(
            lambda partial: partial(credentials=LITERAL).expand(name=["a", "b"]),
            id="partial",
        ),
        pytest.param(
            lambda partial: partial().expand(name=["a"], credentials=[TEMPLATED, LITERAL]),
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
def test_literal_credential_of_a_mapped_task_is_rejected(airflow, map_task):
    def partial(**arguments):
        return StitchCreateDestinationOperator.partial(
            task_id="create", destination_type="postgres", **arguments
        )

    with airflow.dag(), pytest.raises(ValueError, match="in plain text in the serialized DAG") as caught:
        map_task(partial)

    assert "conn.<connection id>.password" in str(caught.value)
    assert "hush_hush" not in str(caught.value)


@pytest.mark.parametrize(
    "map_group",
    [
        pytest.param(lambda group: group.expand(credentials=[LITERAL]), id="expand"),
        pytest.param(lambda group: group.expand_kwargs([{"credentials": LITERAL}]), id="expand_kwargs"),
        pytest.param(lambda group: group.expand(password=["hush_hush"]), id="one value"),
    ],
)
@pytest.mark.filterwarnings("ignore:Partial task group .* was never mapped")
def test_credential_from_a_mapped_task_group_is_rejected(airflow, map_group):
    @task_group
    def tenant(credentials=None, password=None):
        StitchCreateDestinationOperator(
            task_id="create", credentials=credentials or {"password": password}, **WAREHOUSE
        )

    with airflow.dag(), pytest.raises(ValueError, match="an argument of a mapped task group") as caught:
        map_group(tenant)

    assert "conn.<connection id>.password" in str(caught.value)
    assert "hush_hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (StitchCreateSourceOperator, {"source_type": "a", "display_name": "a", "secret": "credentials"}),
        (StitchAttachAccountOperator, {"connection_id": "a", "store": print, "secret": "access_token"}),
        (StitchAttachAccountOperator, {"connection_id": "a", "store": print, "secret": "code"}),
        (StitchCreateHookOperator, {"secret": "url"}),
    ],
    ids=["credentials of a source", "access_token", "code", "url"],
)
def test_each_secret_from_a_mapped_task_group_is_rejected(airflow, operator, arguments):
    secret = arguments.pop("secret")

    @task_group
    def tenant(value):
        operator(task_id="task", **{secret: value}, **arguments)

    with airflow.dag(), pytest.raises(ValueError, match=f"{secret} must not be an argument of a mapped"):
        tenant.expand(value=["hush_hush"])


def test_credentials_in_a_mapped_task_group_are_rendered(airflow, stitch, rendered, monkeypatch):
    set_password(monkeypatch, "open sesame")

    @task_group
    def tenant(name):
        credentials = {"password": "{{ conn.get(task.name).password }}", "fixed": "literal"}
        StitchCreateDestinationOperator(
            task_id="create",
            destination_type="postgres",
            name=name,
            retries=0,
            timeout=1,
            credentials=credentials,
        )

    with airflow.dag() as dag:
        tenant.expand(name=["warehouse"])
    airflow.run(dag)

    assert rendered == ["open sesame", "literal"]


def test_credential_templates_are_rendered_in_mapped_tasks(airflow, stitch, rendered, monkeypatch):
    set_password(monkeypatch, "open sesame")

    with airflow.dag() as dag:
        StitchCreateDestinationOperator.partial(
            task_id="create", destination_type="postgres", retries=0, timeout=1, credentials=TEMPLATED
        ).expand(name=["a", "b"])
    airflow.run(dag)

    assert rendered == ["open sesame"] * 2


def test_literal_credential_from_expand_kwargs_of_a_task_is_rejected(airflow, stitch):
    with airflow.dag() as dag:

        @task
        def tenants():
            return [{"name": "a", "credentials": {"password": "hush_hush"}}]

        StitchCreateDestinationOperator.partial(
            task_id="create", destination_type="postgres", retries=0
        ).expand_kwargs(tenants())
    dag_run = airflow.run(dag)

    assert dag_run.states["create[0]"] == "failed"
    assert "Airflow has stored it in plain text" in dag_run.output
    assert stitch.requests == []


def test_rendered_secret_is_masked_in_all_output(airflow):
    from airflow.providers.common.compat.sdk import redact

    with airflow.dag(user_defined_macros={"secret": "macro-hush-1234567890"}) as dag:
        task = StitchCreateSourceOperator(task_id="task", source_type="a", display_name="a")
    assert dag.task_dict["task"] is task

    rendered = render_secrets(task, {"password": "{{ secret }}"}, {})

    assert rendered == {"password": "macro-hush-1234567890"}
    assert redact("it is macro-hush-1234567890") == "it is ***"
