"""All operators, under one name each: `from airflow_provider_stitch.operators.stitch import ...`.

A DAG file pays for the modules of those that it imports, and not for the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_stitch.operators.attach_account import StitchAttachAccountOperator
    from airflow_provider_stitch.operators.create_account import StitchCreateAccountOperator
    from airflow_provider_stitch.operators.create_destination import StitchCreateDestinationOperator
    from airflow_provider_stitch.operators.create_hook import StitchCreateHookOperator
    from airflow_provider_stitch.operators.create_source import StitchCreateSourceOperator
    from airflow_provider_stitch.operators.pause import StitchPauseSourceOperator, StitchUnpauseSourceOperator
    from airflow_provider_stitch.operators.run_job import StitchRunReplicationJobOperator
    from airflow_provider_stitch.operators.select_streams import StitchSelectStreamsOperator
    from airflow_provider_stitch.operators.stop_job import StitchStopReplicationJobOperator

__all__ = [
    "StitchAttachAccountOperator",
    "StitchCreateAccountOperator",
    "StitchCreateDestinationOperator",
    "StitchCreateHookOperator",
    "StitchCreateSourceOperator",
    "StitchPauseSourceOperator",
    "StitchRunReplicationJobOperator",
    "StitchSelectStreamsOperator",
    "StitchStopReplicationJobOperator",
    "StitchUnpauseSourceOperator",
]

_MODULES = {
    "StitchAttachAccountOperator": "attach_account",
    "StitchCreateAccountOperator": "create_account",
    "StitchCreateDestinationOperator": "create_destination",
    "StitchCreateHookOperator": "create_hook",
    "StitchCreateSourceOperator": "create_source",
    "StitchPauseSourceOperator": "pause",
    "StitchRunReplicationJobOperator": "run_job",
    "StitchSelectStreamsOperator": "select_streams",
    "StitchStopReplicationJobOperator": "stop_job",
    "StitchUnpauseSourceOperator": "pause",
}


def __getattr__(name: str) -> Any:
    """Import an operator when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"airflow_provider_stitch.operators.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
