"""A local Stitch: the same API over real HTTP, for tests without an account.

It is a reading of Stitch's documentation of its own: it imports nothing of the rest of this package. What it
needs beyond the standard library (``pip install 'airflow-provider-stitch[emulator]'``) is imported when
``StitchEmulator`` is first asked for, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.emulator import StitchEmulator
    from airflow_provider_stitch.emulator.handle import EmulatedAccount, JobRecord
    from airflow_provider_stitch.emulator.plans import (
        CheckPlan,
        EmulatedStream,
        Flush,
        JobPlan,
        LoadError,
        LogPlan,
        Quirks,
    )
    from airflow_provider_stitch.emulator.webhooks import Webhook, WebhookAttempt

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
    "StitchEmulator",
    "Webhook",
    "WebhookAttempt",
]

#: What the extra brings.
_EXTRA = frozenset({"anyio", "h11", "starlette", "uvicorn"})
_MODULES = {
    "EmulatedAccount": "handle",
    "JobRecord": "handle",
    "StitchEmulator": "emulator",
    "Webhook": "webhooks",
    "WebhookAttempt": "webhooks",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'plans')}")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        hint = "The Stitch emulator needs more: pip install 'airflow-provider-stitch[emulator]'"
        raise ModuleNotFoundError(f"{hint} ({error})", name=error.name) from error
    return getattr(module, name)
