"""A file with the state of an emulator, so that a new process can continue if the emulator is killed."""

from __future__ import annotations

import pickle
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_stitch.emulator.clock import Clock
from airflow_provider_stitch.emulator.model.state import EmulatorState


class _Snapshot(NamedTuple):
    virtual_time: datetime
    real_time: float  #: the real time at ``virtual_time``, in seconds since the epoch
    exported: dict[str, Any]


class StateFile:
    """A file with the pickled state of an emulator.

    The state is saved after each possible change, before the response is sent. Only the package version that
    wrote a state file can read the file. As with any pickle, a user who can write the file can run code in
    the process that reads the file.

    :param path: the path of the file. The first :meth:`save` creates the file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def load(self, speed: float) -> EmulatorState | None:
        """Return the saved state, or None if the file does not exist.

        The clock of the returned state includes the time since the state was saved.
        """
        if not self._path.exists():
            return None
        # The state file is trusted, because the file belongs to the user.
        saved: _Snapshot = pickle.loads(self._path.read_bytes())  # noqa: S301
        elapsed = timedelta(seconds=(time.time() - saved.real_time) * speed)
        return EmulatorState.restore(Clock(saved.virtual_time + elapsed, speed), saved.exported)

    def save(self, state: EmulatorState) -> None:
        """Save the state by replacing the file atomically."""
        snapshot = _Snapshot(state.clock.now(), time.time(), state.export())
        temporary = self._path.with_name(self._path.name + ".new")
        temporary.write_bytes(pickle.dumps(snapshot))
        temporary.replace(self._path)
