"""A local Stitch that serves the Stitch Connect API over HTTP, for tests without a Stitch account.

The emulator is an independent implementation of Stitch's documentation and imports nothing from the rest of
this package. The emulator's dependencies (``pip install '.[emulator]'``) are imported when ``StitchEmulator``
is first accessed, so that importing this package is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.control.account import EmulatedAccount
    from airflow_provider_stitch.emulator.control.jobs import JobRecord
    from airflow_provider_stitch.emulator.control.sources import SourceRecord
    from airflow_provider_stitch.emulator.emulator import StitchEmulator
    from airflow_provider_stitch.emulator.model.plans import (
        CheckPlan,
        EmulatedStream,
        Flush,
        JobPlan,
        LoadError,
        LogPlan,
    )
    from airflow_provider_stitch.emulator.model.quirks import Quirks
    from airflow_provider_stitch.emulator.model.webhooks import Webhook, WebhookAttempt
    from airflow_provider_stitch.emulator.scenario_file import ScenarioError
    from airflow_provider_stitch.emulator.scenarios import Scenario, load_scenario

__all__ = [
    "CheckPlan",
    "EmulatedAccount",
    "EmulatedStream",
    "Flush",
    "JobPlan",
    "JobRecord",
    "LoadError",
    "LogPlan",
    "Quirks",
    "Scenario",
    "ScenarioError",
    "SourceRecord",
    "StitchEmulator",
    "Webhook",
    "WebhookAttempt",
    "load_scenario",
]

#: Names of the modules that the ``emulator`` extra installs.
_EXTRA = frozenset({"anyio", "h11", "starlette", "tomli", "uvicorn", "yaml"})
_MODULES = {
    "EmulatedAccount": "control.account",
    "JobRecord": "control.jobs",
    "Quirks": "model.quirks",
    "Scenario": "scenarios",
    "ScenarioError": "scenario_file",
    "SourceRecord": "control.sources",
    "StitchEmulator": "emulator",
    "Webhook": "model.webhooks",
    "WebhookAttempt": "model.webhooks",
    "load_scenario": "scenarios",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'model.plans')}")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        hint = (
            "The Stitch emulator requires the 'emulator' extra. In a checkout, run: pip install '.[emulator]'"
        )
        raise ModuleNotFoundError(f"{hint} ({error})", name=error.name) from error
    return getattr(module, name)
