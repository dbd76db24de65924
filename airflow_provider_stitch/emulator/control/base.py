"""The base class for access to an emulated account."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.account import Account
    from airflow_provider_stitch.emulator.model.connections.sources import Source
    from airflow_provider_stitch.emulator.model.state import EmulatorState


class AccountControl:
    """Base class for methods that lock the emulator's state and access one account."""

    def __init__(self, state: EmulatorState, account: Account) -> None:
        self._state = state
        self._account = account

    @contextmanager
    def _source(self, source_id: int) -> Iterator[tuple[Source, datetime]]:
        """Lock the state, and yield a source and the current virtual time."""
        with self._state.locked() as now:
            yield self._account.source(source_id), now
