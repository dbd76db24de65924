"""Triggers that do nothing.

The CPU time and memory of idle triggers are the baseline for all other triggers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Idle(BaseTrigger):
    """A trigger that waits forever, to measure the CPU time and memory of Airflow itself."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.Event().wait()
        yield TriggerEvent({})


class IdleWithRequests(Idle):
    """An idle trigger that imports the `requests` library."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        import requests  # noqa: F401, PLC0415 - import the library in the triggerer, as other triggers do

        async for event in super().run():
            yield event
