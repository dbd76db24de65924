"""The operator that creates a destination, or updates the properties of an existing one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.common.deadline import parse_duration
from airflow_provider_stitch.operators._create import StitchCreateOperator
from airflow_provider_stitch.operators._secrets import reject_group_argument
from airflow_provider_stitch.operators._setup import TIME_PRECISION, check_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import ConnectionCheck, Destination, ReportCard
    from airflow_provider_stitch.operators._create import SetupResult


class StitchCreateDestinationOperator(StitchCreateOperator["Destination"]):
    """Create or update the destination with the given name, and wait for its connection check.

    The task does not change a destination that already has the requested properties. However, if the last
    connection check of the destination failed, the task sends all properties and credentials again. If a
    check is already running, the task waits for that check.

    The XCom is a dict: `destination_id`, `destination_name`, `client_id`, `created` (bool), `changed` (names
    of the properties that were sent), `current_step` (after the check, if the task waits for it) and
    `missing_properties` (the properties that Stitch still needs, grouped by step). The XCom does not contain
    values of properties.

    :param destination_type: the type in Stitch's API, such as `snowflake`, `bigquery_v2`, `redshift`,
        `postgres` or `s3`. (templated)
    :param name: name of the destination. Later runs find the destination by this name. (templated)
    :param properties: the properties of the destination, except for credentials. (templated)
    :param credentials: the secret properties, such as `{"password": "{{ conn.warehouse.password }}"}`; each
        value is a string or an object (a dict, or a string that contains JSON). Templates in the values are
        rendered when the task runs, and Airflow neither shows nor stores the results.
    :param send_credentials: send the credentials in every run, which starts a connection check. If False, the
        task cannot detect new credentials, because Stitch does not return the stored credentials.
    :param description: description of a new destination. The default description contains the DAG, task and
        run, so that the next try recognizes a destination that a killed try has created. (templated)
    :param ignore_unmapped_sources: do not map sources without a destination to a new destination.
    :param wait_for_check: wait for the connection check, which takes some seconds, and fail if the check
        fails.
    :param poll_interval: seconds between two requests for the state of the connection check.
    :param timeout: maximum time to retry while Stitch is unavailable, and to wait for a check, in seconds or
        as a timedelta.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = (
        "destination_type",
        "name",
        "properties",
        "description",
        "stitch_conn_id",
    )
    string_arguments = ("destination_type", "name", "description")

    kind = "destination"

    def __init__(
        self,
        *,
        destination_type: str,
        name: str,
        properties: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        send_credentials: bool = False,
        description: str | None = None,
        ignore_unmapped_sources: bool | None = None,
        wait_for_check: bool = True,
        poll_interval: float = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination_type = destination_type
        self.name = name
        self.properties = properties
        self.credentials = reject_group_argument("credentials", credentials)
        self.send_credentials = send_credentials
        self.description = description
        self._origin = ""
        self.ignore_unmapped_sources = ignore_unmapped_sources
        self.wait_for_check = wait_for_check
        self.poll_interval: float = parse_duration(poll_interval, "poll_interval") or 0.0

    def set_up(self, context: Context) -> dict[str, Any]:
        """Create the destination or, if necessary, send its properties. Wait for the connection check."""
        self._origin = origin_of(context)
        result = self.create_or_update(context)
        destination, sent = result.item, result.sent
        check = None if sent else result.check
        if self.wait_for_check and (sent or result.created or (check and check.status != "succeeded")):
            destination, sent = self._connect(result, is_own=check is None)
        return {
            "destination_id": destination.id,
            "destination_name": destination.name,
            "client_id": destination.stitch_client_id,
            "created": result.created,
            "changed": sent,
            "current_step": destination.current_step,
            "missing_properties": self.log_missing(destination),
        }

    # --- Reading and changing destinations --------------------------------------------------------------

    def _list(self) -> list[Destination]:
        return [
            each
            for each in self.client.list_destinations()
            if each.deleted_at is None and each.name == self.name
        ]

    def _type(self) -> str:
        return self.destination_type

    def _get_type(self) -> ReportCard:
        return self.client.get_destination_type(self.destination_type)

    def _create(self, values: Mapping[str, Any]) -> Destination:
        return self.client.create_destination(
            self.destination_type,
            values,
            name=self.name,
            description=self._origin if self.description is None else self.description,
            ignore_unmapped_sources=self.ignore_unmapped_sources,
        )

    def _update(
        self,
        existing: Destination,
        values: Mapping[str, Any],
        others: Mapping[str, Any],  # noqa: ARG002 - Stitch can change only a destination's properties
    ) -> Destination:
        return self.client.update_destination(existing.id, values)

    def _delete(self, item: Destination) -> None:
        from airflow_provider_stitch.connect.errors import UnknownDestination

        living = [source for source in self.client.list_sources() if source.deleted_at is None]
        mapped = [
            source
            for source in living
            if any(each.id == item.id for each in self.client.list_destinations(source_id=source.id))
        ]
        if mapped:
            self.log.warning(
                "Destination %s was not deleted, because Stitch has mapped sources to it: %s. Map them to "
                "the other destination in Stitch, then delete it.",
                item.label,
                ", ".join(source.label for source in mapped),
            )
            return
        try:
            self.client.delete_destination(item.id)
        except UnknownDestination:
            self.log.info("Destination %s was deleted by another try of this task", item.label)

    def _is_own(self, existing: Destination) -> bool:
        return existing.description == self._origin

    def _last_check(self, existing: Destination) -> ConnectionCheck | None:
        from airflow_provider_stitch.connect.errors import UnknownDestination

        try:
            return self.client.get_last_destination_check(existing.id)
        except UnknownDestination:  # the destination has not been checked yet
            return None

    # --- The connection check ---------------------------------------------------------------------------

    def _connect(self, result: SetupResult[Destination], *, is_own: bool) -> tuple[Destination, list[str]]:
        """Wait for the connection check.

        If the check fails and this task did not start the check, send all properties and wait for the next
        check.

        :param is_own: whether this task started the check.
        """
        from airflow_provider_stitch.connect.errors import ConnectionCheckFailed

        destination, sent = result.item, result.sent
        self._reject_incomplete(destination)
        check = self._wait_for_check(destination, is_own=is_own)
        if check.status == "failed" and not is_own and result.wanted:
            self.log.info(
                "Check %s, which this task did not start, failed; sending all properties", check.name
            )
            destination, sent = self.send(destination, result.wanted)
            check = self._wait_for_check(destination, is_own=True)
        if check.status == "failed":
            raise ConnectionCheckFailed(
                f"Stitch cannot connect to destination {destination.label} (check {check.name}): "
                f"{check_error(check)} Correct its properties or credentials, and run the task again."
            )
        self.log.info("Stitch can connect to destination %s", destination.label)
        return self._read_again(destination), sent

    def _reject_incomplete(self, destination: Destination) -> None:
        card = destination.report_card
        if card is not None and card.missing_by_step:
            raise self._invalid_argument(self.incomplete(destination, card.missing_by_step))

    def _read_again(self, destination: Destination) -> Destination:
        """Return the current state of the destination."""
        return next((each for each in self._list() if each.id == destination.id), destination)

    def _wait_for_check(self, destination: Destination, *, is_own: bool) -> ConnectionCheck:
        """Wait until the connection check has ended, and return the check.

        :param is_own: whether this task started the check. If True, older checks are ignored.
        """
        from airflow_provider_stitch.connect.errors import PhaseTimedOut

        while True:
            check = self._last_check(destination)
            if (
                check is not None
                and check.status != "running"
                and (not is_own or _is_new(check, destination))
            ):
                return check
            if self.seconds_left <= 0:
                raise PhaseTimedOut(
                    f"The connection check of destination {destination.label} did not finish before the "
                    "timeout. Check the destination in Stitch, or set a longer timeout."
                )
            time.sleep(min(self.poll_interval, self.seconds_left))


def origin_of(context: Context) -> str:
    """Return the default description of a destination that this task instance creates."""
    ti = context["ti"]
    mapped = "" if ti.map_index in (None, -1) else f" [{ti.map_index}]"
    return f"Created by Airflow: DAG {ti.dag_id}, task {ti.task_id}{mapped}, run {ti.run_id}"


def _is_new(check: ConnectionCheck, destination: Destination) -> bool:
    """Return whether a check started at or after the time of the destination's last change."""
    started = destination.updated_at
    is_later = started is None or check.start_time is None or check.start_time >= started - TIME_PRECISION
    return check.name == destination.check_job_name or is_later
