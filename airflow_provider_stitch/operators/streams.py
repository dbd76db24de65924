"""The operator that selects streams and fields of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.setup import StitchSetupOperator
from airflow_provider_stitch.tasks import StitchSourceLink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source, Stream
    from airflow_provider_stitch.connect.selection import StreamChange, WantedStream


class StitchSelectStreamsOperator(StitchSetupOperator):
    """Select streams and fields of a source. It reads first and writes only what differs.

    A name that the source does not have fails the task before anything is written. Fields that Stitch always
    replicates need not be named; one that it can't replicate fails the task if it is.

    The XCom is a dict: `source_id`, `source_name`, `client_id`, `url`, `changed` (bool) and `changes`:
    `{stream_name: {"selected": bool, "fields_selected": [...], "fields_deselected": [...],
    "replication_method": ..., "replication_key": ..., "view_key_properties": [...]}}` with only what was
    changed.

    :param source: the source's id, its `name`, or its display name. (templated)
    :param streams: a list of stream names (or of their ids, where the source has a name twice), which selects
        all their fields; or a dict from names to None (all fields), to a list of fields, or to a dict with
        any of `fields` (a list, None for all, or `"keep"`), `replication_method` (`FULL_TABLE`,
        `INCREMENTAL`, `LOG_BASED`), `replication_key` and `view_key_properties`. (templated)
    :param deselect_others: deselect all other streams.
    :param timeout: seconds (or a timedelta) for which an unavailable Stitch is asked again.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("source", "streams", "stitch_conn_id")
    operator_extra_links = (StitchSourceLink(),)

    def __init__(
        self,
        *,
        source: int | str,
        streams: Sequence[str] | Mapping[str, Any],
        deselect_others: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.streams = streams
        self.deselect_others = deselect_others

    def set_up(self, context: Context) -> dict[str, Any]:
        """Read what is selected, and write what differs in one request."""
        from airflow_provider_stitch.connect.selection import wanted_streams

        wanted = wanted_streams(self.streams)
        source = self.find_source(context, self.source)
        changes = self._changes(source, wanted)
        if changes:
            _refuse_before_discovery(source)
            self.client.update_streams(source.id, [change.update for change in changes])
        self._tell(source, changes)
        return {
            **self.about(source),
            "changed": bool(changes),
            "changes": {change.label: change.to_dict() for change in changes},
        }

    def _changes(self, source: Source, wanted: Sequence[WantedStream]) -> list[StreamChange]:
        from airflow_provider_stitch.connect.selection import change_of, deselection_of, named_streams
        from airflow_provider_stitch.replication.stream_names import StreamNames

        streams = self.client.list_streams(source.id)
        if not streams:
            _refuse_before_discovery(source)
        named = named_streams(streams, wanted)
        names = StreamNames(streams)
        changes = []
        for stream, each in zip(named, wanted, strict=True):
            schema = (
                None if each.fields == "keep" else self.client.get_stream_schema(source.id, stream.stream_id)
            )
            changes.append(change_of(names.label_of(stream), stream, schema, each))
        if self.deselect_others:
            kept = {stream.tap_stream_id for stream in named}
            others: list[Stream] = [stream for stream in streams if stream.tap_stream_id not in kept]
            changes += [deselection_of(names.label_of(stream), stream) for stream in others]
        return [change for change in changes if change is not None]

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


def _refuse_before_discovery(source: Source) -> None:
    from airflow_provider_stitch.connect.errors import SourceNotReady

    if source.current_step in (None, "field_selection", "fully_configured"):
        return
    raise SourceNotReady(
        f"Source {source.label} is at the step {source.current_step!r} of its configuration, and streams can "
        "be selected only after its connection check and structure sync. Wait for them with "
        "StitchConnectionCheckSensor, or see its error in Stitch.",
        source_id=source.id,
    )
