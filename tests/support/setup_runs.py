"""Run each setup operator in a separate DAG."""

from __future__ import annotations

from typing import Any

from airflow_provider_stitch.operators.stitch import (
    StitchCreateDestinationOperator,
    StitchCreateSourceOperator,
)

GITHUB = {"repository": "acme/shop", "start_date": "2025-01-01T00:00:00Z"}
WAREHOUSE = {"host": "pg.acme.example", "port": "5432", "database": "dwh", "username": "stitch"}


def run_operator(airflow: Any, operator: Any, *, native: bool = False, **options: Any) -> Any:
    """Run a DAG with a single task, named `task`.

    :param native: whether to render templates to Python objects instead of strings.
    """
    with airflow.dag(render_template_as_native_obj=native) as dag:
        operator(task_id="task", retries=0, **options)
    return airflow.run(dag)


def create_destination(airflow: Any, **options: Any) -> Any:
    """Run a task that creates the destination "Warehouse" with the password from the connection `vault`."""
    options = {
        "destination_type": "postgres",
        "name": "Warehouse",
        "properties": WAREHOUSE,
        "credentials": {"password": "{{ conn.vault.password }}"},
        "poll_interval": 0.05,
        "timeout": 600,
        **options,
    }
    return run_operator(airflow, StitchCreateDestinationOperator, **options)


def create_source(airflow: Any, **options: Any) -> Any:
    """Run a task that creates the source "GitHub" with the token from the connection `vault`."""
    options = {
        "source_type": "platform.github",
        "display_name": "GitHub",
        "properties": GITHUB,
        "credentials": {"access_token": "{{ conn.vault.password }}"},
        "timeout": 600,
        **options,
    }
    return run_operator(airflow, StitchCreateSourceOperator, **options)


def requests_of(stitch: Any, method: str) -> list[str]:
    """Return the paths of all requests with the given HTTP method, oldest first."""
    return [request.path for request in stitch.requests if request.method == method]
