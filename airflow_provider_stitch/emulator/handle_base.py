"""What the parts of an emulated account's Python face have in common."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_stitch.emulator.account import Account
    from airflow_provider_stitch.emulator.sources import Source
    from airflow_provider_stitch.emulator.world import World


class Handle:
    """Speaks to one account, under the emulator's lock."""

    def __init__(self, world: World, account: Account) -> None:
        self._world = world
        self._account = account

    @contextmanager
    def _source(self, source_id: int) -> Iterator[tuple[Source, datetime]]:
        with self._world.at_now() as now:
            yield self._account.source(source_id), now
