"""Record which loads of a source have been announced. Pure functions of loads and times.

A cursor is stored, so that a restarted process announces the loads that it has missed. All times are Stitch's
own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.objects import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_stitch.connect.objects import Load


@dataclass(frozen=True, slots=True)
class LoadCursor:
    """The last announced load of each stream.

    Each stream has its own time, because a load may become visible later than a newer one of another stream.
    """

    since: datetime  #: a stream without an announced load is announced if it was loaded at or after this time
    loaded_at: Mapping[str, datetime] = field(default_factory=dict)  #: by stream name

    def new_loads(self, loads: Iterable[Load], stream: str | None = None) -> dict[str, datetime]:
        """Return the time of the last load of each stream with a load that has not been announced.

        If several records share a name, the newest counts. A stream in an error state has no load time.

        :param stream: consider this stream only; None considers all.
        """
        newest: dict[str, datetime] = {}
        for load in loads:
            at, name = load.last_batch_loaded_at, load.stream_name
            if at is not None and stream in (None, name) and self._is_new(name, at):
                newest[name] = max(at, newest.get(name, at))
        return newest

    def _is_new(self, stream: str, at: datetime) -> bool:
        announced = self.loaded_at.get(stream)
        return at >= self.since if announced is None else at > announced

    def after(self, new_loads: Mapping[str, datetime]) -> LoadCursor:
        """Return the cursor after some loads were announced."""
        return LoadCursor(self.since, {**self.loaded_at, **new_loads})

    def to_dict(self) -> dict[str, Any]:
        """Return the cursor, JSON-serializable."""
        times = {stream: at.isoformat() for stream, at in self.loaded_at.items()}
        return {"since": self.since.isoformat(), "loaded_at": times}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> LoadCursor:
        """Return a cursor that `to_dict` has returned.

        :raises InvalidArgument: if a time is not valid.
        :raises KeyError: if a part is missing.
        """
        times = {str(stream): parse_time(at) for stream, at in stored["loaded_at"].items()}
        return cls(parse_time(stored["since"]), times)


def whole_second(moment: datetime) -> datetime:
    """Return the second that contains a moment, because Stitch truncates the times of loads to seconds."""
    return moment.astimezone(timezone.utc).replace(microsecond=0)
