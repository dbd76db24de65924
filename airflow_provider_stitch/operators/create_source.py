"""The operator that creates a source, once, and keeps its properties as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.create import StitchCreateOperator
from airflow_provider_stitch.operators.setup import A_SECOND
from airflow_provider_stitch.tasks import StitchSourceLink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import ConnectionCheck, ReportCard, Source


class StitchCreateSourceOperator(StitchCreateOperator["Source"]):
    """Create a source, or give the one of this display name these properties.

    Stitch checks the connection of a source that was created or changed, and discovers its structure. Wait
    for that with StitchConnectionCheckSensor(source=display_name, started_after=...), with this task's
    `checked_after`. A source that is as it should be is left alone, unless its last connection check failed:
    then all properties and credentials are sent again.

    A source need not be complete: Stitch keeps it at the step whose properties are missing, and the task
    succeeds with a warning. Later runs send what is added to the DAG, or a user completes it in Stitch.

    The XCom is a dict: `source_id`, `source_name`, `client_id`, `url`, `created` (bool), `changed` (names of
    the properties that were sent), `current_step` (of its configuration), `missing_properties` (those that
    Stitch still needs, by step) and `checked_after` (ISO 8601: the last check that counts began at or after
    this instant). Values of properties are not in it.

    :param source_type: `platform.github`, `platform.hp-postgres`, `import_api` ... (templated)
    :param display_name: its label, of which Stitch makes its name: the schema in the destination, for good.
        (templated)
    :param properties: what the type asks for, but its credentials. Numbers and booleans are sent in the type
        that the report card asks for, mostly as strings. (templated)
    :param credentials: those that are secret, such as `{"access_token": "{{ conn.github.password }}"}`; each
        is a string or an object (a dict, or a string of JSON). Rendered when the task runs, and neither shown
        nor stored by Airflow.
    :param send_credentials: send the credentials in every run. Stitch does not return them, so a change of
        them alone is not noticed otherwise. Each run then starts a connection check.
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
    string_arguments = ("source_type", "display_name")
    operator_extra_links = (StitchSourceLink(),)

    kind = "source"

    def __init__(
        self,
        *,
        source_type: str,
        display_name: str,
        properties: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        send_credentials: bool = False,
        destination: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_type = source_type
        self.display_name = display_name
        self.properties = properties
        self.credentials = credentials
        self.send_credentials = send_credentials
        self.destination = destination
        self._destination_id: int | None = None

    def set_up(self, context: Context) -> dict[str, Any]:
        """Create the source, or send what differs."""
        self._destination_id = None if self.destination is None else self._find_destination()
        brought = self.bring_about(context)
        source = brought.made
        self.leave_link_to(context, source)
        is_new = brought.created or bool(brought.sent)
        return {
            **self.about(source),
            "created": brought.created,
            "changed": brought.sent,
            "current_step": source.current_step,
            "missing_properties": self.log_missing(source),
            "checked_after": self._checked_after(source, None if is_new else brought.check, is_new=is_new),
        }

    # How sources are read and changed.

    def _list(self) -> list[Source]:
        return [
            each
            for each in self.client.list_sources()
            if each.deleted_at is None and each.display_name == self.display_name
        ]

    def _type(self) -> str:
        return self.source_type

    def _get_type(self) -> ReportCard:
        return self.client.get_source_type(self.source_type)

    def _create(self, values: Mapping[str, Any]) -> Source:
        return self.client.create_source(
            self.source_type,
            self.display_name,
            properties=values or None,
            destination_id=self._destination_id,
        )

    def _update(self, found: Source, values: Mapping[str, Any], others: Mapping[str, Any]) -> Source:
        return self.client.update_source(
            found.id, properties=values or None, destination_id=others.get("destination")
        )

    def _delete(self, made: Source) -> None:
        self.client.delete_source(made.id)

    def _last_check(self, found: Source) -> ConnectionCheck | None:
        from airflow_provider_stitch.connect.errors import StitchNotFound, UnknownSource

        try:
            return self.client.get_last_connection_check(found.id)
        except (StitchNotFound, UnknownSource):  # It has not been checked yet.
            return None

    def _other_changes(self, found: Source) -> dict[str, Any]:
        if self._destination_id is None:
            return {}
        bound = self.client.list_destinations(source_id=found.id)
        if any(destination.id == self._destination_id for destination in bound):
            return {}
        return {"destination": self._destination_id}

    def _find_destination(self) -> int:
        from airflow_provider_stitch.connect.errors import UnknownDestination

        destinations = [each for each in self.client.list_destinations() if each.deleted_at is None]
        wanted = str(self.destination).strip()
        named = sorted(each.id for each in destinations if wanted in (str(each.id), each.name))
        if named:
            return named[0]
        listed = ", ".join(each.label for each in destinations) or "none"
        raise UnknownDestination(f"This Stitch account has no destination {wanted!r}. It has: {listed}.")

    def _checked_after(self, source: Source, check: ConnectionCheck | None, *, is_new: bool) -> str | None:
        """Return since when a check counts: the one that this task has caused, or else the last."""
        from airflow_provider_stitch.connect.objects import format_time

        moment = source.updated_at or self.client.stitch_time
        if not is_new:
            moment = (check.start_time if check else source.created_at) or moment
        return None if moment is None else format_time(moment - A_SECOND)
