"""Endpoints for sources, source types and Import API tokens.

Source: Stitch Connect API, "Sources", "Source types", "Import API access tokens".
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.endpoints._base import AccountEndpoints, Endpoint, source_context
from airflow_provider_stitch.connect.endpoints.api_errors import ErrorContext
from airflow_provider_stitch.connect.endpoints.validation import (
    validate_display_name,
    validate_id,
    validate_source_properties,
    validate_string,
)
from airflow_provider_stitch.connect.errors import InvalidArgument, UnknownSource
from airflow_provider_stitch.connect.objects.accounts import ImportToken
from airflow_provider_stitch.connect.objects.report_cards import ReportCard
from airflow_provider_stitch.connect.objects.sources import Source
from airflow_provider_stitch.connect.objects.times import format_time
from airflow_provider_stitch.connect.references import find_source, parse_id

if TYPE_CHECKING:
    from collections.abc import Mapping

LIST_SOURCE_TYPES = Endpoint("GET", "/v4/source-types")
GET_SOURCE_TYPE = Endpoint("GET", "/v4/source-types/{source_type}")
LIST_SOURCES = Endpoint("GET", "/v4/sources")
GET_SOURCE = Endpoint("GET", "/v4/sources/{source_id}")
CREATE_SOURCE = Endpoint("POST", "/v4/sources")
UPDATE_SOURCE = Endpoint("PUT", "/v4/sources/{source_id}")
# The field `paused_at` is updated to pause or unpause a source.
PAUSE_SOURCE = UPDATE_SOURCE
UNPAUSE_SOURCE = UPDATE_SOURCE
DELETE_SOURCE = Endpoint("DELETE", "/v4/sources/{source_id}")
CREATE_IMPORT_TOKEN = Endpoint("POST", "/v4/sources/{source_id}/tokens", confidential=True)
LIST_IMPORT_TOKENS = Endpoint("GET", "/v4/sources/{source_id}/tokens")
REVOKE_IMPORT_TOKEN = Endpoint("DELETE", "/v4/sources/{source_id}/tokens/{token_id}")


class SourceEndpoints(AccountEndpoints):
    """Endpoints for sources, source types and Import API tokens."""

    @abstractmethod
    def _remember_client_id(self, client_id: int | None) -> None:
        """Store the account's client ID if the response contains it."""

    def _parse_source(self, data: object) -> Source:
        source = Source.from_json(data)
        self._remember_client_id(source.stitch_client_id)
        return source

    def list_source_types(self) -> list[ReportCard]:
        """Return the report cards of all source types.

        There are more than 200 source types.

        Source: Stitch Connect API, "List all source types".
        """
        return self._list(LIST_SOURCE_TYPES, ReportCard.from_json)

    def get_source_type(self, source_type: str) -> ReportCard:
        """Return the report card of a source type, such as `platform.hubspot`.

        :raises StitchNotFound: if the type does not exist.

        Source: Stitch Connect API, "Retrieve a source type".
        """
        name = validate_string("source_type", source_type)
        context = ErrorContext(
            f"source type {name!r}",
            hint="list_source_types() returns all source types.",
            ids={"source_type": name},
        )
        return self._get(GET_SOURCE_TYPE, ReportCard.from_json, context)

    def list_sources(self) -> list[Source]:
        """Return all sources, including paused and deleted sources.

        Source: Stitch Connect API, "List sources".
        """
        return self._list(LIST_SOURCES, self._parse_source)

    def get_source(self, source: int | str) -> Source:
        """Return one source, which may be paused or deleted.

        :param source: the id, `name` or display name of the source. See `find_source`.
        :raises UnknownSource: if the account has no such source.
        :raises AmbiguousSource: if several sources have this display name. All methods that accept the name
            of a source can raise AmbiguousSource.

        Source: Stitch Connect API, "Retrieve a source".
        """
        if isinstance(source, str):
            return self.find_source(source)
        return self._get(GET_SOURCE, self._parse_source, source_context(source))

    def find_source(self, source: int | str) -> Source:
        """Find a source by id, `name` or display name, in this order of precedence.

        To find a source by name, the method requests the list of all sources. A deleted source is returned
        only if no other source matches, because a newer source may have the same name.

        :raises UnknownSource: if no source matches. The error message lists the sources with the most similar
            names.
        :raises AmbiguousSource: if several sources match. The error message lists the matching sources.
        """
        found = self.find_source_by_id(source)
        return find_source(self.list_sources(), source) if found is None else found

    def find_source_by_id(self, source: int | str) -> Source | None:
        """Return the source with an id, or None if the source does not exist or is deleted.

        The id may be a string. If the string cannot be an id, the method returns None without a request.
        """
        source_id = parse_id(source)
        if source_id is None:
            return None
        try:
            found = self.get_source(source_id)
        except UnknownSource:  # the number may be another source's name
            return None
        return None if found.is_deleted else found

    def create_source(
        self,
        source_type: str,
        display_name: str,
        *,
        properties: Mapping[str, Any] | None = None,
        destination_id: int | str | None = None,
    ) -> Source:
        """Create a source.

        If all required properties are set, Stitch starts a connection check.

        :param source_type: the type, such as `platform.github`, `platform.hp-postgres` or `import_api`.
        :param display_name: the label of the source. Stitch derives the `name` of the source from the label.
            The name, which never changes, is also the schema in the destination.
        :param properties: the settings of the source. `get_source_type` describes the properties of a source
            type. Most properties require strings, even if the value is a number or a boolean. See the
            `json_schema` of each property.
        :param destination_id: the id or name of the destination that receives the source's rows. Specify the
            destination if the account has several destinations.
        :raises NameInUse: if another source already has this name.
        :raises InvalidProperties: if properties have the wrong type or format.
        :raises NotInPlan: if the account's plan does not include the source type or cron schedules.
        :raises StitchBadRequest: if Stitch rejects the request for another reason.

        Source: Stitch Connect API, "Create a source".
        """
        json: dict[str, Any] = {
            "type": validate_string("source_type", source_type),
            "display_name": validate_display_name(display_name),
            **self._request_body(None, properties, destination_id),
        }
        return self._create(CREATE_SOURCE, Source.from_json, json=json)

    def update_source(
        self,
        source: int | str,
        *,
        display_name: str | None = None,
        properties: Mapping[str, Any] | None = None,
        destination_id: int | str | None = None,
    ) -> Source:
        """Change a source.

        After the change, Stitch starts a connection check, just as for a new source.

        :param properties: the properties to change. All other properties stay unchanged. To remove a
            property, such as `cron_expression`, set it to None.
        :raises UnknownSource: if the account has no such source.
        :raises InvalidProperties: if properties have the wrong type or format.
        :raises NotInPlan: if the account's plan does not include cron schedules.
        :raises StitchBadRequest: if Stitch rejects the request for another reason.

        Source: Stitch Connect API, "Update a source".
        """
        json = self._request_body(display_name, properties, destination_id)
        if not json:
            raise InvalidArgument(f"The update of source {source!r} changes nothing.")
        return self._put_source(source, json)

    def pause_source(self, source: int | str) -> Source:
        """Pause a source.

        Stitch starts no scheduled jobs for a paused source. A job that is already running continues.

        :raises UnknownSource: if the account has no such source.

        Source: Stitch Connect API, "Pause a source". Stitch pauses the source immediately, regardless of the
        time in `paused_at`.
        """
        now = self._transport.stitch_time or datetime.now(timezone.utc)
        return self._put_source(source, {"paused_at": format_time(now)})

    def unpause_source(self, source: int | str) -> Source:
        """Unpause a source that a user paused.

        A source that Stitch itself paused (`system_paused_at`) stays paused.

        :raises UnknownSource: if the account has no such source.

        Source: Stitch Connect API, "Unpause a source".
        """
        return self._put_source(source, {"paused_at": None})

    def delete_source(self, source: int | str) -> Source:
        """Delete a source.

        A deleted source can still be requested. A new source may reuse the name of a deleted source.

        :raises UnknownSource: if the account has no such source.

        Source: Stitch Connect API, "Delete a source".
        """
        response = self._delete(DELETE_SOURCE, self._source_context(source))
        return self._parse(DELETE_SOURCE, response, Source.from_json)

    # Import API tokens authorize programs to push rows to a source of type `import_api`.

    def create_import_token(self, source: int | str) -> ImportToken:
        """Create an Import API token.

        A source can have at most two tokens. Stitch returns a token only when it is created.

        :raises UnknownSource: if the account has no such source.
        :raises StitchBadRequest: if the source already has two tokens or is not an Import API source.

        Source: Stitch Connect API, "Create an Import API access token".
        """
        return self._create(CREATE_IMPORT_TOKEN, ImportToken.from_creation, self._source_context(source))

    def list_import_tokens(self, source: int | str) -> list[ImportToken]:
        """Return the ids of a source's active tokens, without the tokens themselves.

        :raises UnknownSource: if the account has no such source.

        Source: Stitch Connect API, "List Import API access tokens". Stitch returns tokens as objects. Before
        August 2021, Stitch returned plain ids, which are supported as well.
        """
        return self._list(LIST_IMPORT_TOKENS, ImportToken.from_list, self._source_context(source))

    def revoke_import_token(self, source: int | str, token_id: int) -> Source:
        """Revoke an Import API token. A revoked token cannot be restored.

        :raises UnknownSource: if the account has no such source, or if the source has no such token.

        Source: Stitch Connect API, "Revoke an Import API access token".
        """
        token_id = validate_id("token", token_id)
        context = self._source_context(source)
        subject = f"token {token_id} of source {context.source_id}"
        context = replace(context, subject=subject, ids={**context.ids, "token_id": token_id})
        response = self._delete(REVOKE_IMPORT_TOKEN, context)
        return self._parse(REVOKE_IMPORT_TOKEN, response, Source.from_json)

    def _put_source(self, source: int | str, json: Mapping[str, Any]) -> Source:
        return self._update(UPDATE_SOURCE, Source.from_json, self._source_context(source), json=json)

    def _request_body(
        self,
        display_name: str | None,
        properties: Mapping[str, Any] | None,
        destination: int | str | None,
    ) -> dict[str, Any]:
        """Validate the arguments that are not None, and return them as the JSON body of the request."""
        body: dict[str, Any] = {}
        if display_name is not None:
            body["display_name"] = validate_string("display_name", display_name)
        if properties is not None:
            body["properties"] = validate_source_properties(properties)
        if destination is not None:
            body["destination_id"] = self._destination_id(destination)
        return body
