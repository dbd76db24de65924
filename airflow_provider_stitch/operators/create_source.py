"""The operator that creates a source, or updates the properties of an existing one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.common.link import StitchSourceLink
from airflow_provider_stitch.operators._create import StitchCreateOperator
from airflow_provider_stitch.operators._secrets import reject_group_argument
from airflow_provider_stitch.operators._setup import TIME_PRECISION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import ConnectionCheck, ReportCard, Source


class StitchCreateSourceOperator(StitchCreateOperator["Source"]):
    """Create or update the source with the given display name.

    Stitch checks the connection of a new or changed source and discovers its structure. To wait for the
    connection check, use StitchConnectionCheckSensor(source=display_name, started_after=...) with
    `checked_after` from the XCom of this task. The task does not change a source that already has the
    requested properties. However, if the last connection check of the source failed, the task sends all
    properties and credentials again.

    If required properties are missing, the configuration of the source remains incomplete, and the task
    succeeds with a warning. To complete the configuration, add the missing properties to the DAG and run the
    task again, or enter the properties in Stitch.

    The XCom is a dict: `source_id`, `source_name`, `client_id`, `url`, `created` (bool), `changed` (names of
    the properties that were sent), `current_step` (of the configuration), `missing_properties` (the
    properties that Stitch still needs, grouped by step) and `checked_after` (ISO 8601; the time to pass to
    the sensor). The XCom does not contain values of properties.

    :param source_type: the type in Stitch's API, such as `platform.github`, `platform.hp-postgres` or
        `import_api`. (templated)
    :param display_name: display name of the source. Stitch derives the source's name from the display name.
        Stitch uses the name as the schema in the destination, and the name cannot be changed. (templated)
    :param properties: the properties of the source, except for credentials. Numbers and booleans are
        converted to the type that Stitch expects, mostly to strings. (templated)
    :param credentials: the secret properties, such as `{"access_token": "{{ conn.github.password }}"}`; each
        value is a string or an object (a dict, or a string that contains JSON). Templates in the values are
        rendered when the task runs, and Airflow neither shows nor stores the results.
    :param send_credentials: send the credentials in every run, which starts a connection check. If False, the
        task cannot detect new credentials, because Stitch does not return the stored credentials.
    :param destination: id or name of the destination. This argument is required if the account has several
        destinations. (templated)
    :param timeout: how long to keep retrying while Stitch is unavailable, in seconds or as a timedelta.
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
        self.credentials = reject_group_argument("credentials", credentials)
        self.send_credentials = send_credentials
        self.destination = destination
        self._destination_id: int | None = None

    def set_up(self, context: Context) -> dict[str, Any]:
        """Create the source, or send its properties if necessary."""
        self._destination_id = None if self.destination is None else self._find_destination()
        result = self.create_or_update(context)
        source = result.item
        self.push_source_link(context, self.client.client_id, source.id)
        is_new = result.created or bool(result.sent)
        return {
            **self.source_xcom(source),
            "created": result.created,
            "changed": result.sent,
            "current_step": source.current_step,
            "missing_properties": self.log_missing(source),
            "checked_after": self._checked_after(source, None if is_new else result.check, is_new=is_new),
        }

    # --- Reading and changing sources -------------------------------------------------------------------

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

    def _update(self, existing: Source, values: Mapping[str, Any], others: Mapping[str, Any]) -> Source:
        return self.client.update_source(
            existing.id, properties=values or None, destination_id=others.get("destination")
        )

    def _delete(self, item: Source) -> None:
        self.client.delete_source(item.id)

    def _last_check(self, existing: Source) -> ConnectionCheck | None:
        from airflow_provider_stitch.connect.errors import StitchNotFound, UnknownSource

        try:
            return self.client.get_last_connection_check(existing.id)
        except (StitchNotFound, UnknownSource):  # the source has not been checked yet
            return None

    def _other_changes(self, existing: Source) -> dict[str, Any]:
        if self._destination_id is None:
            return {}
        bound = self.client.list_destinations(source_id=existing.id)
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
        """Return the earliest start time of the connection check to wait for.

        This is the check that this task has started or, if the task has not started a check, the last check.
        """
        from airflow_provider_stitch.connect.objects import format_time

        moment = source.updated_at or self.client.stitch_time
        if not is_new:
            moment = (check.start_time if check else source.created_at) or moment
        return None if moment is None else format_time(moment - TIME_PRECISION)
