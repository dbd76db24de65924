"""Record which loads of a source have been announced.

All functions are pure. The cursor is stored, so that loads that finish during a restart are announced
afterwards. All times are measured by Stitch's clock.
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

    The cursor contains a time for each stream, because an older load of one stream can be listed later than a
    newer load of another stream.
    """

    since: datetime  #: the first load that is announced for a stream is at or after this time
    #: Time of the last announced load, by stream name.
    loaded_at: Mapping[str, datetime] = field(default_factory=dict)

    def new_loads(self, loads: Iterable[Load], stream: str | None = None) -> dict[str, datetime]:
        """Return the time of the last load, by stream name, for each stream with an unannounced load.

        If several records share a name, the newest record is used. A stream in an error state has no load
        time and is ignored.

        :param stream: the name of the only stream to consider. If None, all streams are considered.
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
        """Return the cursor after the given loads have been announced."""
        return LoadCursor(self.since, {**self.loaded_at, **new_loads})

    def to_dict(self) -> dict[str, Any]:
        """Return the cursor as a JSON-serializable dict."""
        times = {stream: at.isoformat() for stream, at in self.loaded_at.items()}
        return {"since": self.since.isoformat(), "loaded_at": times}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> LoadCursor:
        """Create a cursor from the result of `to_dict`.

        :raises InvalidArgument: if a time is not valid.
        :raises KeyError: if a key is missing.
        """
        times = {str(stream): parse_time(at) for stream, at in stored["loaded_at"].items()}
        return cls(parse_time(stored["since"]), times)


def whole_second(moment: datetime) -> datetime:
    """Truncate a time to whole seconds in UTC, because Stitch truncates load times."""
    return moment.astimezone(timezone.utc).replace(microsecond=0)
