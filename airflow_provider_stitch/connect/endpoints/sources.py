"""Sources, their types, and tokens of the Import API.

Source: Stitch Connect API, "Sources", "Source types", "Import API access tokens".
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect._arguments import (
    checked_display_name,
    checked_id,
    checked_source_properties,
    checked_text,
)
from airflow_provider_stitch.connect._refusals import About
from airflow_provider_stitch.connect.endpoints._base import Endpoint, EndpointGroup
from airflow_provider_stitch.connect.errors import InvalidArgument, UnknownSource
from airflow_provider_stitch.connect.objects.accounts import ImportToken
from airflow_provider_stitch.connect.objects.report_cards import ReportCard
from airflow_provider_stitch.connect.objects.sources import Source
from airflow_provider_stitch.connect.objects.times import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping

LIST_SOURCE_TYPES = Endpoint("GET", "/v4/source-types")
GET_SOURCE_TYPE = Endpoint("GET", "/v4/source-types/{source_type}")
LIST_SOURCES = Endpoint("GET", "/v4/sources")
GET_SOURCE = Endpoint("GET", "/v4/sources/{source_id}")
CREATE_SOURCE = Endpoint("POST", "/v4/sources")
UPDATE_SOURCE = Endpoint("PUT", "/v4/sources/{source_id}")
PAUSE_SOURCE = UPDATE_SOURCE
UNPAUSE_SOURCE = UPDATE_SOURCE
DELETE_SOURCE = Endpoint("DELETE", "/v4/sources/{source_id}")
CREATE_IMPORT_TOKEN = Endpoint("POST", "/v4/sources/{source_id}/tokens", confidential=True)
LIST_IMPORT_TOKENS = Endpoint("GET", "/v4/sources/{source_id}/tokens")
REVOKE_IMPORT_TOKEN = Endpoint("DELETE", "/v4/sources/{source_id}/tokens/{token_id}")


class SourceEndpoints(EndpointGroup):
    """Sources, their types, and tokens of the Import API."""

    @abstractmethod
    def _learn_client_id(self, client_id: int | None) -> None:
        """Take in the account's number, if what was read has it."""

    def _source(self, data: object) -> Source:
        source = Source.from_json(data)
        self._learn_client_id(source.stitch_client_id)
        return source

    def list_source_types(self) -> list[ReportCard]:
        """Return what each type of source, of over 200, asks for. Source: "List all source types"."""
        return self._list(LIST_SOURCE_TYPES, ReportCard.from_json)

    def get_source_type(self, source_type: str) -> ReportCard:
        """Return what a type of source, such as `platform.hubspot`, asks for.

        :raises StitchNotFound: there is no such type.

        Source: Stitch Connect API, "Retrieve a source type".
        """
        name = checked_text("source_type", source_type)
        about = About(f"source type {name!r}", hint="list_source_types() has all.", ids={"source_type": name})
        return self._get(GET_SOURCE_TYPE, ReportCard.from_json, about)

    def list_sources(self) -> list[Source]:
        """Return all sources: active, paused and deleted. Source: Stitch Connect API, "List sources"."""
        return self._list(LIST_SOURCES, self._source)

    def get_source(self, source_id: int) -> Source:
        """Return one source: active, paused or deleted.

        :raises UnknownSource: the account has no such source.

        Source: Stitch Connect API, "Retrieve a source".
        """
        return self._get(GET_SOURCE, self._source, about_source(source_id))

    def create_source(
        self,
        source_type: str,
        display_name: str,
        *,
        properties: Mapping[str, Any] | None = None,
        destination_id: int | None = None,
    ) -> Source:
        """Create a source. With all that its type asks for, a check of its connection starts at once.

        :param source_type: `platform.github`, `platform.hp-postgres`, `import_api` ...
        :param display_name: its label, of which Stitch makes its `name`: the schema in the destination, for
            good.
        :param properties: what `get_source_type` says that the type asks for. Most values are strings, also
            numbers and booleans; the `json_schema` of a property says so.
        :param destination_id: where its rows go, if the account has more than one destination.
        :raises NameInUse: another source has that name.
        :raises InvalidProperties: properties have a wrong type or form.
        :raises NotInPlan: the account's plan does not include the type, or schedules by cron expressions.
        :raises StitchBadRequest: another reason, which Stitch tells.

        Source: Stitch Connect API, "Create a source".
        """
        json: dict[str, Any] = {
            "type": checked_text("source_type", source_type),
            "display_name": checked_display_name(display_name),
            **_optional(None, properties, destination_id),
        }
        return self._create(CREATE_SOURCE, Source.from_json, json=json)

    def update_source(
        self,
        source_id: int,
        *,
        display_name: str | None = None,
        properties: Mapping[str, Any] | None = None,
        destination_id: int | None = None,
    ) -> Source:
        """Change a source, which starts a check of its connection: the one way to cause a check.

        :param properties: those that change; the others stay. None as a value takes one back, such as a
            `cron_expression`.
        :raises UnknownSource: the account has no such source.
        :raises InvalidProperties: properties have a wrong type or form.
        :raises NotInPlan: the account's plan does not include schedules by cron expressions.
        :raises StitchBadRequest: another reason, which Stitch tells.

        Source: Stitch Connect API, "Update a source".
        """
        json = _optional(display_name, properties, destination_id)
        if not json:
            raise InvalidArgument(f"The update of source {source_id!r} changes nothing.")
        return self._put_source(source_id, json)

    def pause_source(self, source_id: int) -> Source:
        """Pause a source: Stitch starts no job of it by itself. A running one goes on.

        :raises UnknownSource: the account has no such source.

        Source: Stitch Connect API, "Pause a source" (any time in `paused_at` pauses at once).
        """
        now = self._transport.stitch_time or datetime.now(timezone.utc)
        return self._put_source(source_id, {"paused_at": format_time(now)})

    def unpause_source(self, source_id: int) -> Source:
        """Let Stitch's schedule start jobs of a source that a user paused.

        A pause by Stitch itself, `system_paused_at`, stays.

        :raises UnknownSource: the account has no such source.

        Source: Stitch Connect API, "Unpause a source".
        """
        return self._put_source(source_id, {"paused_at": None})

    def delete_source(self, source_id: int) -> Source:
        """Delete a source. It stays readable, and its name can be used again.

        :raises UnknownSource: the account has no such source.

        Source: Stitch Connect API, "Delete a source".
        """
        answer = self._delete(DELETE_SOURCE, about_source(source_id))
        return self._read(DELETE_SOURCE, answer, Source.from_json)

    # Tokens that push rows to a source of type `import_api`.

    def create_import_token(self, source_id: int) -> ImportToken:
        """Create a token for the Import API. A source has at most two; Stitch shows each once.

        :raises UnknownSource: the account has no such source.
        :raises StitchBadRequest: it has two already, or is no Import API source.

        Source: Stitch Connect API, "Create an Import API access token".
        """
        return self._create(CREATE_IMPORT_TOKEN, ImportToken.from_creation, about_source(source_id))

    def list_import_tokens(self, source_id: int) -> list[ImportToken]:
        """Return the active tokens of a source: their ids, never the tokens themselves.

        :raises UnknownSource: the account has no such source.

        Source: Stitch Connect API, "List Import API access tokens" (in both documented forms).
        """
        return self._list(LIST_IMPORT_TOKENS, ImportToken.from_list, about_source(source_id))

    def revoke_import_token(self, source_id: int, token_id: int) -> Source:
        """Revoke a token of the Import API, for good.

        :raises UnknownSource: the account has no such source, or the source no such token.

        Source: Stitch Connect API, "Revoke an Import API access token".
        """
        source = about_source(source_id)
        ids = {"source_id": source_id, "token_id": checked_id("token", token_id)}
        about = replace(source, what=f"token {token_id} of source {source_id}", ids=ids)
        answer = self._delete(REVOKE_IMPORT_TOKEN, about)
        return self._read(REVOKE_IMPORT_TOKEN, answer, Source.from_json)

    def _put_source(self, source_id: int, json: Mapping[str, Any]) -> Source:
        return self._update(UPDATE_SOURCE, Source.from_json, about_source(source_id), json=json)


def about_source(source_id: int) -> About:
    """Return what a request about a source is about, once its id is checked."""
    checked = checked_id("source", source_id)
    what = f"source {checked} in this Stitch account"
    return About(what, UnknownSource, source_id=checked, ids={"source_id": checked})


def _optional(
    display_name: str | None, properties: Mapping[str, Any] | None, destination_id: int | None
) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if display_name is not None:
        given["display_name"] = checked_text("display_name", display_name)
    if properties is not None:
        given["properties"] = checked_source_properties(properties)
    if destination_id is not None:
        given["destination_id"] = checked_id("destination", destination_id)
    return given
