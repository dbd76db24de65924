"""Read asset events from Airflow's database."""

from __future__ import annotations

from typing import Any


def asset_events(dag_id: str, task_id: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the `extra` of each asset event from a DAG, by the asset's URI.

    Fail the test if an asset has several events.
    """
    events = [
        (event.uri, event.extra)
        for event in _rows()
        if event.source_dag_id == dag_id and task_id in (None, event.source_task_id)
    ]
    assert len(dict(events)) == len(events), f"An asset has several events: {events}"
    return dict(events)


def _rows() -> list[Any]:
    from sqlalchemy import select

    try:
        from airflow.models.asset import AssetEvent as Event
        from airflow.models.asset import AssetModel as Model

        key = Event.asset_id
    except ImportError:  # Airflow 2
        from airflow.models.dataset import DatasetEvent as Event
        from airflow.models.dataset import DatasetModel as Model

        key = Event.dataset_id
    from airflow import settings
    from sqlalchemy.orm import Session

    columns = (Model.uri, Event.extra, Event.source_dag_id, Event.source_task_id)
    with Session(bind=settings.engine) as session:
        return list(session.execute(select(*columns).join(Model, Model.id == key).order_by(Event.id)))
