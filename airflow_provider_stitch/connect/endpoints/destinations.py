"""Endpoints for destinations and their types.

Source: Stitch Connect API, "Destinations", "Destination types".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.endpoints._base import AccountEndpoints, Endpoint, parse_array
from airflow_provider_stitch.connect.endpoints.api_errors import ErrorContext
from airflow_provider_stitch.connect.endpoints.validation import (
    validate_boolean,
    validate_id,
    validate_properties,
    validate_string,
)
from airflow_provider_stitch.connect.errors import UnknownDestination
from airflow_provider_stitch.connect.objects.destinations import Destination, DestinationV3
from airflow_provider_stitch.connect.objects.jobs import ConnectionCheck
from airflow_provider_stitch.connect.objects.report_cards import ReportCard
from airflow_provider_stitch.connect.references import find_destination

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


class DestinationEndpoints(AccountEndpoints):
    """Endpoints for destinations and their types."""

    def list_destination_types(self) -> list[ReportCard]:
        """Return the report cards of all destination types.

        Source: Stitch Connect API, "List all destination types".
        """
        return self._list(LIST_DESTINATION_TYPES, ReportCard.from_json)

    def get_destination_type(self, destination_type: str) -> ReportCard:
        """Return the report card of a destination type, such as `snowflake`.

        :raises StitchNotFound: if the type does not exist.

        Source: Stitch Connect API, "Retrieve a destination type".
        """
        name = validate_string("destination_type", destination_type)
        context = ErrorContext(
            f"destination type {name!r}",
            hint="list_destination_types() returns all.",
            ids={"destination_type": name},
        )
        return self._get(GET_DESTINATION_TYPE, ReportCard.from_json, context)

    def list_destinations(
        self, *, source_id: int | str | None = None, destination_id: int | str | None = None
    ) -> list[Destination]:
        """Return the account's destinations, optionally filtered by source or by id.

        Each parameter accepts an id or a name. For each name, an additional request looks up the id.

        Source: Stitch Connect API, "List destinations". Stitch mentions the filter parameters only in an
        error message.
        """
        params: dict[str, int | str] = {}
        if source_id is not None:
            params["source_id"] = self._source_id(source_id)
        if destination_id is not None:
            params["destination_id"] = self._destination_id(destination_id)
        response = self._request(LIST_DESTINATIONS, params=params or None)
        return self._parse(LIST_DESTINATIONS, response, lambda body: parse_array(body, Destination.from_json))

    def find_destination(self, destination: int | str) -> Destination:
        """Find a destination by id, `name` or display name, in this order of precedence.

        The method requests the list of all destinations, because Stitch has no endpoint that returns a single
        destination.

        :raises UnknownDestination: if no destination matches. The error message lists all destinations that
            are not deleted.
        :raises InvalidArgument: if several destinations match. The error message lists the matching
            destinations.
        """
        return find_destination(self.list_destinations(), destination)

    def create_destination(
        self,
        destination_type: str,
        properties: Mapping[str, Any],
        *,
        name: str | None = None,
        description: str | None = None,
        ignore_unmapped_sources: bool | None = None,
    ) -> Destination:
        """Create a destination.

        Stitch starts a connection check for the new destination.

        :param destination_type: the type, such as `snowflake`, `bigquery_v2`, `redshift`, `postgres` or `s3`.
        :param properties: the settings of the destination. `get_destination_type` describes the properties of
            a destination type.
        :param name: the name of the destination. By default, Stitch derives a name from the type.
        :param ignore_unmapped_sources: whether sources without a destination should remain without one. By
            default, Stitch assigns sources without a destination to the new destination.
        :raises LimitReached: if the account has as many destinations as its plan allows.
        :raises StitchBadRequest: if Stitch rejects the properties.

        Source: Stitch Connect API, "Create a destination".
        """
        json: dict[str, Any] = {
            "type": validate_string("destination_type", destination_type),
            "properties": validate_properties("properties", properties),
        }
        if name is not None:
            json["name"] = validate_string("name", name)
        if description is not None:
            json["description"] = validate_string("description", description)
        if ignore_unmapped_sources is not None:
            json["ignore_unmapped_sources"] = validate_boolean(
                "ignore_unmapped_sources", ignore_unmapped_sources
            )
        return self._create(CREATE_DESTINATION, Destination.from_json, json=json)

    def update_destination(self, destination: int | str, properties: Mapping[str, Any]) -> Destination:
        """Change properties of a destination.

        Stitch starts a connection check after the change.

        :param destination: the id, `name` or display name of the destination. See `find_destination`.
        :param properties: the properties to change. All other properties stay unchanged.
        :raises UnknownDestination: if the account has no such destination.

        Source: Stitch Connect API, "Update a destination".
        """
        json = {"properties": validate_properties("properties", properties)}
        context = _destination_context(self._destination_id(destination))
        return self._update(UPDATE_DESTINATION, Destination.from_json, context, json=json)

    def delete_destination(self, destination: int | str) -> None:
        """Delete a destination and its post-load hooks.

        Stitch pauses the destination's sources until another destination is connected.

        :raises UnknownDestination: if the account has no such destination, or if the destination is already
            deleted.

        Source: Stitch Connect API, "Delete a destination".
        """
        self._delete(DELETE_DESTINATION, _destination_context(self._destination_id(destination)))

    def get_last_destination_check(self, destination: int | str) -> ConnectionCheck:
        """Return the most recent connection check of a destination, regardless of what triggered the check.

        :raises UnknownDestination: if the destination was never checked or does not exist.

        Source: Stitch Connect API, "Retrieve last connection check". Stitch documents the endpoint for
        connection checks only for sources. The endpoint for destinations is assumed to work in the same way.
        """
        destination_id = self._destination_id(destination)
        context = replace(
            _destination_context(destination_id),
            subject=f"connection check of destination {destination_id}",
            hint="It was never checked, or the account has no such destination.",
        )
        return self._get(GET_LAST_DESTINATION_CHECK, ConnectionCheck.from_json, context)

    # Endpoints of API version 3, which Stitch has not deprecated.

    def list_destinations_v3(self) -> list[DestinationV3]:
        """Request the account's destination from API version 3, and return it in a list.

        The list is empty if the account has no destination.
        """
        return self._list(LIST_DESTINATIONS_V3, DestinationV3.from_json)

    def create_destination_v3(self, destination_type: str, connection: Mapping[str, Any]) -> DestinationV3:
        """Create a destination with API version 3.

        :raises LimitReached: if the account already has a destination.
        :raises StitchBadRequest: if Stitch rejects the properties.
        """
        return self._create(
            CREATE_DESTINATION_V3, DestinationV3.from_json, json=_json_v3(destination_type, connection)
        )

    def update_destination_v3(
        self, destination: int | str, destination_type: str, connection: Mapping[str, Any]
    ) -> DestinationV3:
        """Update a destination with API version 3.

        The request must contain the destination type, although the type cannot be changed.

        :raises UnknownDestination: if the account has no such destination.
        :raises StitchBadRequest: if the destination has a different type.
        """
        json = _json_v3(destination_type, connection)
        context = _destination_context(self._destination_id(destination))
        return self._update(UPDATE_DESTINATION_V3, DestinationV3.from_json, context, json=json)


def _destination_context(destination_id: int) -> ErrorContext:
    checked = validate_id("destination", destination_id)
    return ErrorContext(f"destination {checked}", UnknownDestination, ids={"destination_id": checked})


def _json_v3(destination_type: str, connection: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": validate_string("destination_type", destination_type),
        "connection": validate_properties("connection", connection),
    }
