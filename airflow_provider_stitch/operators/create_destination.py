"""The operator that creates a destination, once, and keeps its properties as they should be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators.masking import rendered_secrets
from airflow_provider_stitch.operators.setup import (
    A_SECOND,
    UNCONNECTED,
    StitchSetupOperator,
    differing,
    refuse_if_incomplete,
)
from airflow_provider_stitch.tasks import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import ConnectionCheck, Destination


class StitchCreateDestinationOperator(StitchSetupOperator):
    """Create a destination, or give the one of this name these properties; then wait for its check.

    The XCom is a dict: `destination_id`, `destination_name`, `client_id`, `created` (bool), `changed` (names
    of the properties that were sent) and `current_step`. Values of properties are not in it.

    :param destination_type: `snowflake`, `bigquery_v2`, `redshift`, `postgres`, `s3` ... (templated)
    :param name: by which the destination is found again. (templated)
    :param properties: what the type asks for, but its credentials. (templated)
    :param credentials: those that are secret, such as `{"password": "{{ conn.warehouse.password }}"}`.
        Rendered when the task runs, and neither shown nor stored by Airflow.
    :param description: of a destination that is created. (templated)
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

    def __init__(
        self,
        *,
        destination_type: str,
        name: str,
        properties: Mapping[str, Any] | None = None,
        credentials: Mapping[str, str] | None = None,
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
        self.description = description
        self.ignore_unmapped_sources = ignore_unmapped_sources
        self.wait_for_check = wait_for_check
        self.poll_interval: float = seconds(poll_interval, "poll_interval") or 0.0

    def set_up(self, context: Context) -> dict[str, Any]:
        """Create the destination, or send what differs."""
        public = dict(self.properties or {})
        secret = rendered_secrets(self, self.credentials, context)
        found = self._find()
        if found is None:
            destination = self._create({**public, **secret})
            sent = sorted({**public, **secret})
        elif not differing(public, found.properties) and found.current_step not in UNCONNECTED:
            destination, sent = found, []
            self.log.info("Destination %s is as it should be", found.label)
        else:
            destination = self.client.update_destination(found.id, {**public, **secret})
            sent = sorted({**public, **secret})
            self.log.info("Changed destination %s: sent %s", destination.label, ", ".join(sent))
        if self.wait_for_check and (found is None or sent):
            self._wait_for_check(destination)
        return {
            "destination_id": destination.id,
            "destination_name": destination.name,
            "client_id": destination.stitch_client_id,
            "created": found is None,
            "changed": sent,
            "current_step": destination.current_step,
        }

    def _find(self) -> Destination | None:
        from airflow_provider_stitch.connect.errors import InvalidArgument

        living = [each for each in self.client.list_destinations() if each.deleted_at is None]
        found = next((each for each in living if each.name == self.name), None)
        if found is not None and found.type != self.destination_type:
            raise InvalidArgument(
                f"Destination {found.label} is of type {found.type}, not {self.destination_type}. A "
                "destination keeps its type: choose another name."
            )
        return found

    def _create(self, properties: Mapping[str, Any]) -> Destination:
        report_card = self.client.get_destination_type(self.destination_type)
        refuse_if_incomplete("destination", report_card, properties)
        destination = self.client.create_destination(
            self.destination_type,
            properties,
            name=self.name,
            description=self.description,
            ignore_unmapped_sources=self.ignore_unmapped_sources,
        )
        self.log.info("Created destination %s", destination.label)
        return destination

    def _wait_for_check(self, destination: Destination) -> None:
        from airflow_provider_stitch.connect.errors import ConnectionCheckFailed, PhaseTimedOut

        while True:
            check = self._last_check(destination)
            if check is not None and check.status == "succeeded":
                self.log.info("Stitch can connect to destination %s", destination.label)
                return
            if check is not None and check.status == "failed":
                raise ConnectionCheckFailed(
                    f"Stitch can't connect to destination {destination.label} (check {check.name}): "
                    f"{_why(check)} Correct its properties or credentials, and run the task again."
                )
            if self.seconds_left <= 0:
                raise PhaseTimedOut(
                    f"The connection check of destination {destination.label} was not over in time. See it "
                    "in Stitch, or set a longer timeout."
                )
            time.sleep(min(self.poll_interval, self.seconds_left))

    def _last_check(self, destination: Destination) -> ConnectionCheck | None:
        """Return the check that this task has caused, or a later one."""
        from airflow_provider_stitch.connect.errors import UnknownDestination

        try:
            check = self.client.get_last_destination_check(destination.id)
        except UnknownDestination:  # not checked yet
            return None
        caused = destination.updated_at
        is_ours = check.name == destination.check_job_name
        is_later = caused is None or check.start_time is None or check.start_time >= caused - A_SECOND
        return check if is_ours or is_later else None


def _why(check: ConnectionCheck) -> str:
    told = (check.discovery_error_message, check.tap_error_message, check.target_error_message)
    return next((message for message in told if message), "Stitch does not say why.")
