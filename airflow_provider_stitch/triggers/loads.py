"""StitchLoadTrigger, which announces each load of a stream as an event of the stream's asset.

This trigger needs Airflow 3.3 or later.

DAG files import this module. To keep parsing fast, modules that call Stitch are imported only in the
triggerer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.triggers.versions import HAS_SHARED_STREAMS

if not HAS_SHARED_STREAMS:
    raise ImportError(
        "Watchers of Stitch's loads (StitchLoadTrigger, watch=True) need Airflow 3.3 or later. On this "
        "version, wait with StitchLoadingSensor in a scheduled DAG, or schedule the DAG by the assets of a "
        "task with emit_assets=True."
    )

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from airflow.triggers.shared_stream import SharedStreamProducer

    from airflow_provider_stitch.replication.load_watch import LoadBatch

MIN_POLL_INTERVAL = 1.0  #: seconds


class StitchLoadTrigger(BaseEventTrigger):
    """Announces each load of one stream, or of every stream in a source, as an event of the watched asset.

    Use this trigger through `stitch_stream(..., watch=True)` or `stitch_source(..., watch=True)`.

    Each load is announced at least once, even if no triggerer is running when the rows are loaded. If a
    stream is loaded several times between two polls, these loads cause only one event. The payload of an
    event is a dict with `source`, `stream` and `loaded_at` (ISO 8601, UTC, by Stitch's clock). If a load is
    announced twice, both events contain the same `loaded_at`. With `stream=None` the dict contains `source`,
    `streams` (the times of the new loads, by stream) and `loaded_at`, the latest of these times.

    In a triggerer, all watchers and deferred tasks of a connection share their polls. If requests to the
    account fail, the trigger does not end. Instead, the trigger waits and then reads the connection again.

    :param source: the source's `name`.
    :param stream: the stream's name. If None, the loads of all streams in the source are announced.
    :param stitch_conn_id: id of the Airflow connection.
    :param poll_interval: minimum number of seconds between two polls that no waiting task needs. With the
        default of 60, watchers use at most 10 of the account's 30 status requests in 10 minutes.
    :param asset_uri: URI of the watched asset. If two assets have equal triggers, Airflow runs one trigger
        for both. To run a separate trigger for each asset, pass the URI of the asset.
    :raises ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        source: str,
        stream: str | None = None,
        stitch_conn_id: str = "stitch_default",
        poll_interval: float = 60,
        asset_uri: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        for name, value in (("source", source), ("stream", stream), ("stitch_conn_id", stitch_conn_id)):
            if (not isinstance(value, str) or not value) and not (name == "stream" and value is None):
                raise ValueError(f"{name} must be a non-empty string; it was {value!r}.")
        if not isinstance(poll_interval, (int, float)) or not poll_interval >= MIN_POLL_INTERVAL:
            raise ValueError(
                f"poll_interval must be at least {MIN_POLL_INTERVAL:g} s; it was {poll_interval!r}."
            )
        self.source = source
        self.stream = stream
        self.stitch_conn_id = stitch_conn_id
        self.poll_interval = poll_interval
        self.asset_uri = asset_uri

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that Airflow needs to recreate this trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "source": self.source,
                "stream": self.stream,
                "stitch_conn_id": self.stitch_conn_id,
                "poll_interval": self.poll_interval,
                "asset_uri": self.asset_uri,
            },
        )

    def shared_stream_key(self) -> Hashable:
        """Return the same key for all watchers of a connection."""
        return ("stitch-loads", self.stitch_conn_id)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the producer that polls the account for all watchers of a connection."""
        from airflow_provider_stitch.triggers.load_stream import LoadStreamProducer

        return LoadStreamProducer(kwargs["stitch_conn_id"])

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[LoadBatch]
    ) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each poll that returns new loads of this trigger's streams."""
        from airflow_provider_stitch.triggers.load_stream import announce

        async for payload in announce(self, shared_stream):
            yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # untyped in Airflow

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Raise an error, because Airflow 3.3 and later run this trigger in a shared stream."""
        raise NotImplementedError("StitchLoadTrigger runs only as the watcher of an asset.")
        yield  # type: ignore[unreachable]  # makes this method an async generator
