"""Which stream of a source a name means, and what users call it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects import Stream


class StreamNames:
    """The names of all streams of a source. Made once for them all: there may be 10,000."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._times = Counter(stream.stream_name for stream in streams)
        # Of namesakes the first counts.
        self._by_name = {stream.stream_name: stream for stream in reversed(streams)}
        self._by_id = {stream.tap_stream_id: stream for stream in reversed(streams)}

    def are_shared_by(self, stream: Stream | None) -> bool:
        """Say whether another stream has the same `stream_name`."""
        return stream is not None and self._times[stream.stream_name] > 1

    def label_of(self, stream: Stream) -> str:
        """Return what users see and type: the `stream_name`, or where a name stands twice the
        `tap_stream_id`."""
        return stream.tap_stream_id if self.are_shared_by(stream) else stream.stream_name

    def find(self, name: str) -> Stream | None:
        """Find the stream that a log means: databases log the `tap_stream_id`, others the name."""
        return self._by_id.get(name) or self._by_name.get(name)
