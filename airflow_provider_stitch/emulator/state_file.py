"""A file that keeps what an emulator holds, so that one that was killed goes on where it was."""

from __future__ import annotations

import pickle
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_stitch.emulator.clock import Clock
from airflow_provider_stitch.emulator.world import World


class _Kept(NamedTuple):
    at: datetime  #: virtual time
    real: float  #: the same instant of this machine's clock
    state: dict[str, Any]


class StateFile:
    """Written anew, whole, whenever an emulator may have changed: before anybody hears of the change.

    It is for an emulator that lives longer than its process, and read by the same version that wrote it. As
    with any pickle, who may write the file may run code in the process that reads it.

    :param path: of the file. It is made when it is first written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def load(self, speed: float) -> World | None:
        """The world as it was left, and as much later as it is now; None if nothing was kept."""
        if not self._path.exists():
            return None
        kept: _Kept = pickle.loads(self._path.read_bytes())  # noqa: S301 - a file of the user's own
        return World.resumed(
            Clock(kept.at + timedelta(seconds=(time.time() - kept.real) * speed), speed), kept.state
        )

    def save(self, world: World) -> None:
        """Put a whole file in the place of the old one."""
        kept = _Kept(world.clock.now(), time.time(), world.state())
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_bytes(pickle.dumps(kept))
        beside.replace(self._path)
