"""All operators, for import in DAG files.

Each operator is loaded when a DAG file imports the operator, so that unused operators do not make parsing
slower.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The aliases mark the names as public for type checkers, which cannot evaluate `__all__`.
    from .attach_account import StitchAttachAccountOperator as StitchAttachAccountOperator
    from .check_account import StitchCheckAccountOperator as StitchCheckAccountOperator
    from .create_account import StitchCreateAccountOperator as StitchCreateAccountOperator
    from .create_destination import StitchCreateDestinationOperator as StitchCreateDestinationOperator
    from .create_hook import StitchCreateHookOperator as StitchCreateHookOperator
    from .create_source import StitchCreateSourceOperator as StitchCreateSourceOperator
    from .pause import StitchPauseSourceOperator as StitchPauseSourceOperator
    from .pause import StitchUnpauseSourceOperator as StitchUnpauseSourceOperator
    from .run_job import StitchRunReplicationJobOperator as StitchRunReplicationJobOperator
    from .select_streams import StitchSelectStreamsOperator as StitchSelectStreamsOperator
    from .stop_job import StitchStopReplicationJobOperator as StitchStopReplicationJobOperator
    from .update_schedule import StitchUpdateScheduleOperator as StitchUpdateScheduleOperator

_MODULES = {
    "StitchAttachAccountOperator": "attach_account",
    "StitchCheckAccountOperator": "check_account",
    "StitchCreateAccountOperator": "create_account",
    "StitchCreateDestinationOperator": "create_destination",
    "StitchCreateHookOperator": "create_hook",
    "StitchCreateSourceOperator": "create_source",
    "StitchPauseSourceOperator": "pause",
    "StitchRunReplicationJobOperator": "run_job",
    "StitchSelectStreamsOperator": "select_streams",
    "StitchStopReplicationJobOperator": "stop_job",
    "StitchUnpauseSourceOperator": "pause",
    "StitchUpdateScheduleOperator": "update_schedule",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Load an operator when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"airflow_provider_stitch.operators.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
