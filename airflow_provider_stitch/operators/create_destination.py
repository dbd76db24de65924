"""The operator that creates a destination, once, and keeps its properties as they should be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.create import StitchCreateOperator
from airflow_provider_stitch.operators.setup import A_SECOND, message_of
from airflow_provider_stitch.tasks import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import ConnectionCheck, Destination, ReportCard
    from airflow_provider_stitch.operators.create import Brought


class StitchCreateDestinationOperator(StitchCreateOperator["Destination"]):
    """Create a destination, or give the one of this name these properties; then wait for its check.

    A destination that is as it should be is left alone, unless its last connection check failed: then all
    properties and credentials are sent again. A check that is running is waited for.

    The XCom is a dict: `destination_id`, `destination_name`, `client_id`, `created` (bool), `changed` (names
    of the properties that were sent), `current_step` (after the check, if the task waits for it) and
    `missing_properties` (those that Stitch still needs, by step). Values of properties are not in it.

    :param destination_type: `snowflake`, `bigquery_v2`, `redshift`, `postgres`, `s3` ... (templated)
    :param name: by which the destination is found again. (templated)
    :param properties: what the type asks for, but its credentials. (templated)
    :param credentials: those that are secret, such as `{"password": "{{ conn.warehouse.password }}"}`; each
        is a string or an object (a dict, or a string of JSON). Rendered when the task runs, and neither shown
        nor stored by Airflow.
    :param send_credentials: send the credentials in every run. Stitch does not return them, so a change of
        them alone is not noticed otherwise. Each run then starts a connection check.
    :param description: of a destination that is created. By default it names the DAG, task and run, so that
        a try after a kill recognizes what an earlier try created. (templated)
    :param ignore_unmapped_sources: do not give a created destination the sources that have none.
    :param wait_for_check: wait for the check of the connection, some seconds, and fail if it fails.
    :param poll_interval: seconds between two looks at the check.
    :param timeout: seconds (or a timedelta) for which an unavailable Stitch is asked again, and a check
        waited for.
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
        self.credentials = credentials
        self.send_credentials = send_credentials
        self.description = description
        self._origin = ""
        self.ignore_unmapped_sources = ignore_unmapped_sources
        self.wait_for_check = wait_for_check
        self.poll_interval: float = seconds(poll_interval, "poll_interval") or 0.0

    def set_up(self, context: Context) -> dict[str, Any]:
        """Create the destination, or send what differs."""
        self._origin = origin_of(context)
        brought = self.bring_about(context)
        destination, sent = brought.made, brought.sent
        check = None if sent else brought.check
        if self.wait_for_check and (sent or brought.created or (check and check.status == "running")):
            destination, sent = self._connect(brought, ours=check is None)
        return {
            "destination_id": destination.id,
            "destination_name": destination.name,
            "client_id": destination.stitch_client_id,
            "created": brought.created,
            "changed": sent,
            "current_step": destination.current_step,
            "missing_properties": self.log_missing(destination),
        }

    # How destinations are read and changed.

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
        found: Destination,
        values: Mapping[str, Any],
        others: Mapping[str, Any],  # noqa: ARG002 - nothing but properties can be changed
    ) -> Destination:
        return self.client.update_destination(found.id, values)

    def _delete(self, made: Destination) -> None:
        from airflow_provider_stitch.connect.errors import UnknownDestination

        living = [source for source in self.client.list_sources() if source.deleted_at is None]
        mapped = [
            source
            for source in living
            if any(each.id == made.id for each in self.client.list_destinations(source_id=source.id))
        ]
        if mapped:
            self.log.warning(
                "Destination %s was not deleted, because Stitch has mapped sources to it: %s. Map them to "
                "the other destination in Stitch, then delete it.",
                made.label,
                ", ".join(source.label for source in mapped),
            )
            return
        try:
            self.client.delete_destination(made.id)
        except UnknownDestination:
            self.log.info("Destination %s was deleted by another try of this task", made.label)

    def _is_own(self, found: Destination) -> bool:
        return found.description == self._origin

    def _last_check(self, found: Destination) -> ConnectionCheck | None:
        from airflow_provider_stitch.connect.errors import UnknownDestination

        try:
            return self.client.get_last_destination_check(found.id)
        except UnknownDestination:  # It has not been checked yet.
            return None

    # The connection check.

    def _connect(self, brought: Brought[Destination], *, ours: bool) -> tuple[Destination, list[str]]:
        """Wait for the check. If it fails and this task did not start it, send everything and wait again.

        :param ours: this task started the check.
        """
        from airflow_provider_stitch.connect.errors import ConnectionCheckFailed

        destination, sent = brought.made, brought.sent
        self._refuse_incomplete(destination)
        check = self._wait_for_check(destination, ours=ours)
        if check.status == "failed" and not ours and brought.wanted:
            self.log.info("Check %s failed, which another task or a user started", check.name)
            destination, sent = self.send(destination, brought.wanted)
            check = self._wait_for_check(destination, ours=True)
        if check.status == "failed":
            raise ConnectionCheckFailed(
                f"Stitch can't connect to destination {destination.label} (check {check.name}): "
                f"{message_of(check)} Correct its properties or credentials, and run the task again."
            )
        self.log.info("Stitch can connect to destination %s", destination.label)
        return self._read_again(destination), sent

    def _refuse_incomplete(self, destination: Destination) -> None:
        card = destination.report_card
        if card is not None and card.missing_by_step:
            raise self._refusal(self.incomplete(destination, card.missing_by_step))

    def _read_again(self, destination: Destination) -> Destination:
        """Return the destination as it is after its check."""
        return next((each for each in self._list() if each.id == destination.id), destination)

    def _wait_for_check(self, destination: Destination, *, ours: bool) -> ConnectionCheck:
        """Return the check once it has ended.

        :param ours: this task started the check, so an older one does not count.
        """
        from airflow_provider_stitch.connect.errors import PhaseTimedOut

        while True:
            check = self._last_check(destination)
            if check is not None and check.status != "running" and (not ours or _is_new(check, destination)):
                return check
            if self.seconds_left <= 0:
                raise PhaseTimedOut(
                    f"The connection check of destination {destination.label} was not over in time. See it "
                    "in Stitch, or set a longer timeout."
                )
            time.sleep(min(self.poll_interval, self.seconds_left))


def origin_of(context: Context) -> str:
    """Return the description of what this task instance creates."""
    ti = context["ti"]
    mapped = "" if ti.map_index in (None, -1) else f" [{ti.map_index}]"
    return f"Created by Airflow: DAG {ti.dag_id}, task {ti.task_id}{mapped}, run {ti.run_id}"


def _is_new(check: ConnectionCheck, destination: Destination) -> bool:
    """Return whether a check is the one that a creation or update started, or a later one."""
    started = destination.updated_at
    is_later = started is None or check.start_time is None or check.start_time >= started - A_SECOND
    return check.name == destination.check_job_name or is_later
