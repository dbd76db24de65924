"""The operator that creates a source, once, and keeps its properties as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.masking import rendered_secrets
from airflow_provider_stitch.operators.setup import (
    A_SECOND,
    UNCONNECTED,
    StitchSetupOperator,
    differing,
    refuse_if_incomplete,
)
from airflow_provider_stitch.tasks import StitchSourceLink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source


class StitchCreateSourceOperator(StitchSetupOperator):
    """Create a source, or give the one of this display name these properties.

    Stitch checks the connection of a source that was created or changed, and discovers its structure. Wait
    for that with StitchConnectionCheckSensor(source=display_name, started_after=...), with this task's
    `checked_after`. A source that is as it should be is left alone, unless it has not been connected yet:
    then all properties are sent again.

    The XCom is a dict: `source_id`, `source_name`, `client_id`, `url`, `created` (bool), `changed` (names of
    the properties that were sent), `current_step` (of its configuration) and `checked_after` (ISO 8601: the
    last check that counts began at or after this instant). Values of properties are not in it.

    :param source_type: `platform.github`, `platform.hp-postgres`, `import_api` ... (templated)
    :param display_name: its label, of which Stitch makes its name: the schema in the destination, for good.
        (templated)
    :param properties: what the type asks for, all as texts, but its credentials. (templated)
    :param credentials: those that are secret, such as `{"access_token": "{{ conn.github.password }}"}`.
        Rendered when the task runs, and neither shown nor stored by Airflow. Stitch never tells them, so a
        change of them alone is not seen; delete the source in Stitch, or update it by its client.
    :param destination: id or name of the destination for its rows; needed where an account has several.
        (templated)
    :param timeout: seconds (or a timedelta) for which an unavailable Stitch is asked again.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = (
        "source_type",
        "display_name",
        "properties",
        "destination",
        "stitch_conn_id",
    )
    operator_extra_links = (StitchSourceLink(),)

    def __init__(
        self,
        *,
        source_type: str,
        display_name: str,
        properties: Mapping[str, Any] | None = None,
        credentials: Mapping[str, str] | None = None,
        destination: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_type = source_type
        self.display_name = display_name
        self.properties = properties
        self.credentials = credentials
        self.destination = destination

    def set_up(self, context: Context) -> dict[str, Any]:
        """Create the source, or send what differs."""
        public = dict(self.properties or {})
        secret = rendered_secrets(self, self.credentials, context)
        destination_id = None if self.destination is None else self._destination_id()
        found = self._find()
        if found is None:
            report_card = self.client.get_source_type(self.source_type)
            refuse_if_incomplete("source", report_card, {**public, **secret})
            source = self.client.create_source(
                self.source_type,
                self.display_name,
                properties={**public, **secret} or None,
                destination_id=destination_id,
            )
            sent = sorted({**public, **secret})
            self.log.info("Created source %s", source.label)
        else:
            source, sent = self._bring_up_to_date(found, public, secret, destination_id)
        self.leave_link_to(context, source)
        return {
            **self.about(source),
            "created": found is None,
            "changed": sent,
            "current_step": source.current_step,
            "checked_after": self._checked_after(source, is_new=found is None or bool(sent)),
        }

    def _find(self) -> Source | None:
        from airflow_provider_stitch.connect.errors import InvalidArgument

        living = [source for source in self.client.list_sources() if source.deleted_at is None]
        found = next((source for source in living if source.display_name == self.display_name), None)
        if found is not None and found.type != self.source_type:
            raise InvalidArgument(
                f"Source {found.label} has the display name {self.display_name!r}, and it is of type "
                f"{found.type}, not {self.source_type}. A source keeps its type: choose another name.",
                source_id=found.id,
            )
        return found

    def _bring_up_to_date(
        self,
        found: Source,
        public: dict[str, Any],
        secret: dict[str, str],
        destination_id: int | None,
    ) -> tuple[Source, list[str]]:
        changes = differing(public, found.properties)
        if changes or found.current_step in UNCONNECTED:
            changes = {**public, **secret}
        elsewhere = destination_id is not None and not self._goes_to(found, destination_id)
        if not changes and not elsewhere:
            self.log.info("Source %s is as it should be", found.label)
            return found, []
        source = self.client.update_source(
            found.id, properties=changes or None, destination_id=destination_id if elsewhere else None
        )
        sent = sorted(changes) + (["destination"] if elsewhere else [])
        self.log.info("Changed source %s: sent %s", source.label, ", ".join(sent))
        return source, sent

    def _goes_to(self, source: Source, destination_id: int) -> bool:
        bound = self.client.list_destinations(source_id=source.id)
        return any(destination.id == destination_id for destination in bound)

    def _destination_id(self) -> int:
        from airflow_provider_stitch.connect.errors import UnknownDestination

        destinations = [each for each in self.client.list_destinations() if each.deleted_at is None]
        wanted = str(self.destination).strip()
        for each in destinations:
            if wanted in (str(each.id), each.name):
                return each.id
        listed = ", ".join(each.label for each in destinations) or "none"
        raise UnknownDestination(f"This Stitch account has no destination {wanted!r}. It has: {listed}.")

    def _checked_after(self, source: Source, *, is_new: bool) -> str | None:
        """Return since when a check counts: the one that this task has caused, or else the last."""
        from airflow_provider_stitch.connect.errors import StitchNotFound, UnknownSource
        from airflow_provider_stitch.connect.objects import format_time

        moment = source.updated_at or self.client.latest_answer_at
        if not is_new:
            try:
                moment = self.client.get_last_connection_check(source.id).start_time or moment
            except (StitchNotFound, UnknownSource):
                moment = source.created_at or moment
        return None if moment is None else format_time(moment - A_SECOND)
