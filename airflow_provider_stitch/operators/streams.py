"""The operator that selects streams and fields of a source."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.setup import StitchSetupOperator, message_of
from airflow_provider_stitch.tasks import StitchSourceLink, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source, Stream, StreamSchema
    from airflow_provider_stitch.connect.selection import StreamChange, WantedStream

MAX_PARALLEL_READS = 16


class StitchSelectStreamsOperator(StitchSetupOperator):
    """Select streams and fields of a source. It reads first and writes only what differs.

    A name that the source does not have fails the task before anything is written. Fields that Stitch always
    replicates need not be named; one that it can't replicate fails the task if it is. If the source was just
    created, the task waits for its connection check and structure sync.

    The XCom is a dict: `source_id`, `source_name`, `client_id`, `url`, `changed` (bool) and `changes`:
    `{stream_name: {"selected": bool, "fields_selected": [...], "fields_deselected": [...],
    "replication_method": ..., "replication_key": ..., "view_key_properties": [...]}}` with only what was
    changed.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param streams: `"all"`; a list of stream names (or of their ids, where the source has a name twice) and
        patterns such as `public.*`, which selects all their fields; or a dict from names or patterns to None
        (all fields), to a list of fields, or to a dict with any of `fields` (a list, None for all, or
        `"keep"`), `replication_method` (`FULL_TABLE`, `INCREMENTAL`, `LOG_BASED`), `replication_key` and
        `view_key_properties`. A view that only a pattern (or `"all"`) matches is left as it is, with a
        warning, if it has no `view_key_properties` yet. (templated)
    :param deselect_others: deselect all other streams.
    :param poll_interval: seconds between two requests while the task waits for the structure sync.
    :param timeout: seconds (or a timedelta) for which an unavailable Stitch is asked again.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", "streams", "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)

    def __init__(
        self,
        *,
        source: int | str,
        streams: str | Sequence[str] | Mapping[str, Any],
        deselect_others: bool = False,
        poll_interval: float = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.streams = streams
        self.deselect_others = deselect_others
        self.poll_interval: float = seconds(poll_interval, "poll_interval") or 0.0

    def set_up(self, context: Context) -> dict[str, Any]:
        """Read what is selected, and write what differs in one request."""
        from airflow_provider_stitch.connect.selection import wanted_streams

        wanted = wanted_streams(self.streams)
        source = self._discovered(self.find_source(context, self.source))
        changes = self._changes(source, wanted)
        if changes:
            self.client.update_streams(source.id, [change.update for change in changes])
        self._tell(source, changes)
        return {
            **self.about(source),
            "changed": bool(changes),
            "changes": {change.label: change.to_dict() for change in changes},
        }

    def _discovered(self, source: Source) -> Source:
        """Return the source once Stitch has discovered its structure.

        :raises SourceNotReady: properties are missing, or the connection check failed.
        """
        from airflow_provider_stitch.connect.errors import PhaseTimedOut

        is_waiting = False
        while source.current_step not in (None, "field_selection", "fully_configured"):
            self._refuse_hopeless(source)
            if self.seconds_left <= 0:
                raise PhaseTimedOut(
                    f"The connection check and structure sync of source {source.label} were not over in "
                    "time, so its streams could not be selected. See it in Stitch, or set a longer timeout.",
                    source_id=source.id,
                )
            if not is_waiting:
                self.log.info("Waiting for the structure sync of source %s", source.label)
                is_waiting = True
            time.sleep(min(self.poll_interval, self.seconds_left))
            source = self.client.get_source(source.id)
        return source

    def _refuse_hopeless(self, source: Source) -> None:
        """Refuse to wait for a structure sync that cannot come."""
        from airflow_provider_stitch.connect.errors import SourceNotReady, StitchNotFound

        if source.current_step != "discover_schema":
            raise SourceNotReady(
                f"Source {source.label} is at the step {source.current_step!r} of its configuration, and "
                "streams can be selected only after its connection check and structure sync. Finish its "
                "configuration first.",
                source_id=source.id,
            )
        try:
            check = self.client.get_last_connection_check(source.id)
        except StitchNotFound:  # It has not started yet.
            return
        if check.status == "failed":
            raise SourceNotReady(
                f"Source {source.label} is at the step 'discover_schema' of its configuration, because its "
                f"connection check failed: {message_of(check)} Correct its properties or credentials, "
                "then select its streams.",
                source_id=source.id,
            )

    def _changes(self, source: Source, wanted: Sequence[WantedStream]) -> list[StreamChange]:
        from airflow_provider_stitch.connect.selection import change_of, deselection_of
        from airflow_provider_stitch.connect.stream_matching import (
            labels_of,
            match_streams,
            views_without_keys,
        )

        streams = self.client.list_streams(source.id)
        matched = match_streams(streams, wanted)
        labels = labels_of(streams)
        left_out = {view.tap_stream_id: labels[view.tap_stream_id] for view in views_without_keys(matched)}
        self._warn_of_views(source, list(left_out.values()))
        selectable = [(stream, each) for stream, each in matched if stream.tap_stream_id not in left_out]
        schemas = self._schemas(source, [stream for stream, each in selectable if each.needs_schema])
        changes = [
            change_of(labels[stream.tap_stream_id], stream, schemas.get(stream.tap_stream_id), each)
            for stream, each in selectable
        ]
        if self.deselect_others:
            kept = {stream.tap_stream_id for stream, _ in matched}
            others = [stream for stream in streams if stream.tap_stream_id not in kept]
            changes += [deselection_of(labels[stream.tap_stream_id], stream) for stream in others]
        return [change for change in changes if change is not None]

    def _warn_of_views(self, source: Source, views: Sequence[str]) -> None:
        if views:
            self.log.warning(
                "These views of source %s match a pattern and were left as they are, because a view needs "
                "view_key_properties: %s. Name each view with its view_key_properties to select it.",
                source.label,
                ", ".join(views),
            )

    def _schemas(self, source: Source, streams: Sequence[Stream]) -> dict[str, StreamSchema]:
        """Read the schemas of streams, several at a time, because there may be thousands."""
        client = self.client
        with ThreadPoolExecutor(MAX_PARALLEL_READS) as executor:
            read = executor.map(lambda each: client.get_stream_schema(source.id, each.stream_id), streams)
            return {stream.tap_stream_id: schema for stream, schema in zip(streams, read, strict=True)}

    def _tell(self, source: Source, changes: Sequence[StreamChange]) -> None:
        if not changes:
            self.log.info("The streams of source %s are selected as they should be", source.label)
        for change in changes:
            self.log.info("Changed stream %s of source %s: %s", change.label, source.label, change.to_dict())
            if change.unavoidable:
                self.log.warning(
                    "Stitch replicates these fields of stream %s whatever is selected: %s",
                    change.label,
                    ", ".join(change.unavoidable),
                )
