"""The operator that selects the streams and fields of a source."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.common.deadline import parse_duration
from airflow_provider_stitch.common.link import StitchSourceLink
from airflow_provider_stitch.operators._setup import StitchSetupOperator, check_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source, Stream, StreamSchema
    from airflow_provider_stitch.connect.stream_matching import StreamSelection
    from airflow_provider_stitch.connect.stream_selection import StreamChange

MAX_PARALLEL_READS = 16


class StitchSelectStreamsOperator(StitchSetupOperator):
    """Select the streams and fields of a source.

    The task reads the current selection, and changes only the streams and fields that differ from the
    requested selection. If the source does not have a requested stream or field, or if Stitch cannot
    replicate a field, the task fails before it changes anything. Fields that Stitch always replicates may be
    omitted. If the source was just created, the task waits for its connection check and structure sync.

    The XCom is a dict: `source_id`, `source_name`, `client_id`, `url`, `changed` (bool) and `changes`:
    `{stream_name: {"selected": bool, "fields_selected": [...], "fields_deselected": [...],
    "replication_method": ..., "replication_key": ..., "view_key_properties": [...]}}`. `changes` contains
    only the values that have changed.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param streams: the streams to select, as `"all"`, a list, or a dict. A list contains stream names and
        patterns such as `public.*`, and selects all fields of the matching streams. If several streams have
        the same name, use the ids of these streams instead. A dict maps stream names or patterns to None (all
        fields), to a list of fields, or to a dict with the optional keys `fields` (a list, None for all
        fields, or `"keep"` for the current selection), `replication_method` (`FULL_TABLE`, `INCREMENTAL`,
        `LOG_BASED`), `replication_key` and `view_key_properties`. If only a pattern or `"all"` matches a
        view, and the view has no `view_key_properties` yet, the task does not change the view and logs a
        warning. (templated)
    :param deselect_others: deselect all other streams.
    :param poll_interval: seconds between two requests while the task waits for the structure sync.
    :param timeout: maximum time to retry while Stitch is unavailable, and to wait for the structure sync, in
        seconds or as a timedelta.
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
        self.poll_interval: float = parse_duration(poll_interval, "poll_interval") or 0.0

    def set_up(self, context: Context) -> dict[str, Any]:
        """Read the current selection, and send all changes in one request."""
        from airflow_provider_stitch.connect.stream_selection import parse_stream_selections

        wanted = parse_stream_selections(self.streams)
        source = self._wait_for_structure(self.find_source(context, self.source))
        changes = self._changes(source, wanted)
        if changes:
            self.client.update_streams(source.id, [change.update for change in changes])
        self._log_changes(source, changes)
        return {
            **self.source_xcom(source),
            "changed": bool(changes),
            "changes": {change.label: change.to_dict() for change in changes},
        }

    def _wait_for_structure(self, source: Source) -> Source:
        """Wait until Stitch has discovered the source's structure, and return the source.

        :raises SourceNotReady: if properties are missing or the connection check failed.
        """
        from airflow_provider_stitch.connect.errors import PhaseTimedOut

        is_waiting = False
        while source.current_step not in (None, "field_selection", "fully_configured"):
            self._reject_if_stuck(source)
            if self.seconds_left <= 0:
                raise PhaseTimedOut(
                    f"The connection check and structure sync of source {source.label} did not finish before "
                    "the timeout, so no streams were selected. Check the source in Stitch, or set a longer "
                    "timeout.",
                    source_id=source.id,
                )
            if not is_waiting:
                self.log.info("Waiting for the structure sync of source %s", source.label)
                is_waiting = True
            time.sleep(min(self.poll_interval, self.seconds_left))
            source = self.client.get_source(source.id)
        return source

    def _reject_if_stuck(self, source: Source) -> None:
        """Reject a source if Stitch cannot run a structure sync for it.

        :raises SourceNotReady: if properties are missing or the connection check failed.
        """
        from airflow_provider_stitch.connect.errors import SourceNotReady, StitchNotFound

        if source.current_step != "discover_schema":
            raise SourceNotReady(
                f"Source {source.label} is at the step {source.current_step!r} of its configuration, but "
                "streams can be selected only after its connection check and structure sync. Finish its "
                "configuration first.",
                source_id=source.id,
            )
        try:
            check = self.client.get_last_connection_check(source.id)
        except StitchNotFound:  # the connection check has not started yet
            return
        if check.status == "failed":
            raise SourceNotReady(
                f"Source {source.label} is at the step 'discover_schema' of its configuration, because its "
                f"connection check failed: {check_error(check)} Correct its properties or credentials, "
                "then select its streams.",
                source_id=source.id,
            )

    def _changes(self, source: Source, wanted: Sequence[StreamSelection]) -> list[StreamChange]:
        from airflow_provider_stitch.connect.stream_matching import (
            match_streams,
            stream_labels,
            views_without_keys,
        )
        from airflow_provider_stitch.connect.stream_selection import deselection_change, selection_change

        streams = self.client.list_streams(source.id)
        matched = match_streams(streams, wanted)
        labels = stream_labels(streams)
        left_out = {view.tap_stream_id: labels[view.tap_stream_id] for view in views_without_keys(matched)}
        self._warn_of_views(source, list(left_out.values()))
        selectable = [(stream, each) for stream, each in matched if stream.tap_stream_id not in left_out]
        schemas = self._schemas(source, [stream for stream, each in selectable if each.needs_schema])
        changes = [
            selection_change(labels[stream.tap_stream_id], stream, schemas.get(stream.tap_stream_id), each)
            for stream, each in selectable
        ]
        if self.deselect_others:
            kept = {stream.tap_stream_id for stream, _ in matched}
            others = [stream for stream in streams if stream.tap_stream_id not in kept]
            changes += [deselection_change(labels[stream.tap_stream_id], stream) for stream in others]
        return [change for change in changes if change is not None]

    def _warn_of_views(self, source: Source, views: Sequence[str]) -> None:
        if views:
            self.log.warning(
                "These views of source %s match a pattern but were not changed, because a view needs "
                "view_key_properties: %s. To select a view, add its name and view_key_properties to streams.",
                source.label,
                ", ".join(views),
            )

    def _schemas(self, source: Source, streams: Sequence[Stream]) -> dict[str, StreamSchema]:
        """Read the schemas of streams in parallel, because a source may have thousands of streams."""
        client = self.client
        with ThreadPoolExecutor(MAX_PARALLEL_READS) as executor:
            read = executor.map(lambda each: client.get_stream_schema(source.id, each.stream_id), streams)
            return {stream.tap_stream_id: schema for stream, schema in zip(streams, read, strict=True)}

    def _log_changes(self, source: Source, changes: Sequence[StreamChange]) -> None:
        if not changes:
            self.log.info(
                "Source %s already has the requested selection of streams; changed nothing", source.label
            )
        for change in changes:
            self.log.info("Changed stream %s of source %s: %s", change.label, source.label, change.to_dict())
            if change.unavoidable:
                self.log.warning(
                    "Stitch always replicates these fields of stream %s, although they are not selected: %s",
                    change.label,
                    ", ".join(change.unavoidable),
                )
