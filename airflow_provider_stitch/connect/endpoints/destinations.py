"""Destinations and their types. Source: Stitch Connect API, "Destinations", "Destination types"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect._arguments import (
    checked_flag,
    checked_id,
    checked_properties,
    checked_text,
)
from airflow_provider_stitch.connect._refusals import About
from airflow_provider_stitch.connect.endpoints._base import Endpoint, EndpointGroup, each
from airflow_provider_stitch.connect.errors import UnknownDestination
from airflow_provider_stitch.connect.objects.destinations import Destination, DestinationV3
from airflow_provider_stitch.connect.objects.jobs import ConnectionCheck
from airflow_provider_stitch.connect.objects.report_cards import ReportCard

if TYPE_CHECKING:
    from collections.abc import Mapping

LIST_DESTINATION_TYPES = Endpoint("GET", "/v4/destination-types")
GET_DESTINATION_TYPE = Endpoint("GET", "/v4/destination-types/{destination_type}")
LIST_DESTINATIONS = Endpoint("GET", "/v4/destinations")
CREATE_DESTINATION = Endpoint("POST", "/v4/destinations")
UPDATE_DESTINATION = Endpoint("PUT", "/v4/destinations/{destination_id}")
DELETE_DESTINATION = Endpoint("DELETE", "/v4/destinations/{destination_id}")
GET_LAST_DESTINATION_CHECK = Endpoint("GET", "/v4/destinations/{destination_id}/last-connection-check")
LIST_DESTINATIONS_V3 = Endpoint("GET", "/v3/destinations")
CREATE_DESTINATION_V3 = Endpoint("POST", "/v3/destinations")
UPDATE_DESTINATION_V3 = Endpoint("PUT", "/v3/destinations/{destination_id}")


class DestinationEndpoints(EndpointGroup):
    """Destinations and their types."""

    def list_destination_types(self) -> list[ReportCard]:
        """Return what each type of destination asks for. Source: "List all destination types"."""
        return self._list(LIST_DESTINATION_TYPES, ReportCard.from_json)

    def get_destination_type(self, destination_type: str) -> ReportCard:
        """Return what a type of destination, such as `snowflake`, asks for.

        :raises StitchNotFound: there is no such type.

        Source: Stitch Connect API, "Retrieve a destination type".
        """
        name = checked_text("destination_type", destination_type)
        about = About(
            f"destination type {name!r}",
            hint="list_destination_types() has all.",
            ids={"destination_type": name},
        )
        return self._get(GET_DESTINATION_TYPE, ReportCard.from_json, about)

    def list_destinations(
        self, *, source_id: int | None = None, destination_id: int | None = None
    ) -> list[Destination]:
        """Return the account's destinations: all, or that of a source, or the one of this id.

        Source: Stitch Connect API, "List destinations" (that it can be restricted only an error text tells).
        """
        params: dict[str, int | str] = {}
        if source_id is not None:
            params["source_id"] = checked_id("source", source_id)
        if destination_id is not None:
            params["destination_id"] = checked_id("destination", destination_id)
        answer = self._ask(LIST_DESTINATIONS, params=params or None)
        return self._read(LIST_DESTINATIONS, answer, lambda body: each(body, Destination.from_json))

    def create_destination(
        self,
        destination_type: str,
        properties: Mapping[str, Any],
        *,
        name: str | None = None,
        description: str | None = None,
        ignore_unmapped_sources: bool | None = None,
    ) -> Destination:
        """Create a destination, which starts a check of its connection.

        :param destination_type: `snowflake`, `bigquery_v2`, `redshift`, `postgres`, `s3` ...
        :param properties: what `get_destination_type` says that the type asks for.
        :param name: Stitch makes one of the type if there is none.
        :param ignore_unmapped_sources: True leaves the sources that have no destination without one; else
            they all get this one.
        :raises LimitReached: the account has as many destinations as its plan allows.
        :raises StitchBadRequest: Stitch does not take these properties.

        Source: Stitch Connect API, "Create a destination".
        """
        json: dict[str, Any] = {
            "type": checked_text("destination_type", destination_type),
            "properties": checked_properties("properties", properties),
        }
        if name is not None:
            json["name"] = checked_text("name", name)
        if description is not None:
            json["description"] = checked_text("description", description)
        if ignore_unmapped_sources is not None:
            json["ignore_unmapped_sources"] = checked_flag("ignore_unmapped_sources", ignore_unmapped_sources)
        return self._create(CREATE_DESTINATION, Destination.from_json, json=json)

    def update_destination(self, destination_id: int, properties: Mapping[str, Any]) -> Destination:
        """Change properties of a destination, which starts a check of its connection. Its type stays.

        :param properties: those that change; the others stay.
        :raises UnknownDestination: the account has no such destination.

        Source: Stitch Connect API, "Update a destination".
        """
        return self._update(
            UPDATE_DESTINATION,
            Destination.from_json,
            _about(destination_id),
            json={"properties": checked_properties("properties", properties)},
        )

    def delete_destination(self, destination_id: int) -> None:
        """Delete a destination and the post-load hooks that are bound to it.

        Its sources are paused until another destination is connected.

        :raises UnknownDestination: the account has no such destination, or it is deleted already.

        Source: Stitch Connect API, "Delete a destination".
        """
        self._delete(DELETE_DESTINATION, _about(destination_id))

    def get_last_destination_check(self, destination_id: int) -> ConnectionCheck:
        """Return the last connection check of a destination, whoever caused it.

        :raises UnknownDestination: there was none, or there is no such destination.

        Source: Stitch Connect API, "Retrieve last connection check" (for destinations only its pattern).
        """
        about = replace(
            _about(destination_id),
            what=f"connection check of destination {destination_id}",
            hint="It was never checked, or the account has no such destination.",
        )
        return self._get(GET_LAST_DESTINATION_CHECK, ConnectionCheck.from_json, about)

    # The form of version 3, which is not deprecated.

    def list_destinations_v3(self) -> list[DestinationV3]:
        """Return the account's destination, if it has one, in the form of version 3."""
        return self._list(LIST_DESTINATIONS_V3, DestinationV3.from_json)

    def create_destination_v3(self, destination_type: str, connection: Mapping[str, Any]) -> DestinationV3:
        """Create a destination in the form of version 3.

        :raises LimitReached: the account has a destination.
        :raises StitchBadRequest: Stitch does not take these properties.
        """
        return self._create(
            CREATE_DESTINATION_V3, DestinationV3.from_json, json=_json_v3(destination_type, connection)
        )

    def update_destination_v3(
        self, destination_id: int, destination_type: str, connection: Mapping[str, Any]
    ) -> DestinationV3:
        """Change a destination in the form of version 3, which wants its type too, though it can't change it.

        :raises UnknownDestination: the account has no such destination.
        :raises StitchBadRequest: it has another type.
        """
        return self._update(
            UPDATE_DESTINATION_V3,
            DestinationV3.from_json,
            _about(destination_id),
            json=_json_v3(destination_type, connection),
        )


def _about(destination_id: int) -> About:
    checked = checked_id("destination", destination_id)
    return About(f"destination {checked}", UnknownDestination, ids={"destination_id": checked})


def _json_v3(destination_type: str, connection: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": checked_text("destination_type", destination_type),
        "connection": checked_properties("connection", connection),
    }
