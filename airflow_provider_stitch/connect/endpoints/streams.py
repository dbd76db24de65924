"""Endpoints for source connection checks and streams.

Source: Stitch Connect API, "Connection checks", "Streams".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.endpoints._base import AccountEndpoints, Endpoint, ignore_body
from airflow_provider_stitch.connect.endpoints.api_errors import ErrorContext, api_error
from airflow_provider_stitch.connect.endpoints.validation import validate_id, validate_stream_updates
from airflow_provider_stitch.connect.errors import StitchNotFound, UnknownStream
from airflow_provider_stitch.connect.objects.jobs import ConnectionCheck
from airflow_provider_stitch.connect.objects.streams import Stream, StreamSchema
from airflow_provider_stitch.connect.stream_matching import find_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects.streams import StreamUpdate

GET_LAST_CONNECTION_CHECK = Endpoint("GET", "/v4/sources/{source_id}/last-connection-check")
LIST_STREAMS = Endpoint("GET", "/v4/sources/{source_id}/streams")
GET_STREAM_SCHEMA = Endpoint("GET", "/v4/sources/{source_id}/streams/{stream_id}")
UPDATE_STREAMS = Endpoint("PUT", "/v4/sources/{source_id}/streams/metadata")


class StreamEndpoints(AccountEndpoints):
    """Endpoints for source connection checks and streams."""

    def get_last_connection_check(self, source: int | str) -> ConnectionCheck:
        """Return the most recent connection check of a source, regardless of what triggered the check.

        :raises StitchNotFound: if the source was never checked or does not exist. Stitch does not distinguish
            an unchecked source from an unknown source.

        Source: Stitch Connect API, "Retrieve last connection check".
        """
        context = self._source_context(source)
        response = self._request_unchecked(GET_LAST_CONNECTION_CHECK, context)
        if response.status == 404:
            check = f"connection check of source {context.source_id}"
            hint = "Either it was never checked, or the account has no such source."
            never_checked = api_error(
                response, replace(context, subject=check, hint=hint, not_found=StitchNotFound)
            )
            never_checked.needs_confirmation = False
            raise never_checked
        if not response.ok:
            raise api_error(response, context)
        return self._parse(GET_LAST_CONNECTION_CHECK, response, ConnectionCheck.from_json)

    def list_streams(self, source: int | str) -> list[Stream]:
        """Return the streams that the last structure sync found.

        The list does not reflect changes to the source after the last structure sync.

        :raises UnknownSource: if the account has no such source.

        Source: Stitch Connect API, "List streams".
        """
        return self._list(LIST_STREAMS, Stream.from_json, self._source_context(source))

    def get_stream_schema(self, source: int | str, stream: int | str) -> StreamSchema:
        """Return the fields of a stream and their metadata.

        :param stream: the numeric id, the `tap_stream_id`, or the name. If a string is passed, an additional
            request looks up the stream.
        :raises UnknownStream: if the stream or the source does not exist. Stitch does not distinguish an
            unknown stream from an unknown source.

        Source: Stitch Connect API, "Retrieve a stream's schema".
        """
        source_id = self._source_id(source)
        if isinstance(stream, str) and stream.strip():
            stream = find_stream(self.list_streams(source_id), stream).stream_id
        stream_id = validate_id("stream", stream)
        context = ErrorContext(
            f"stream {stream_id} of source {source_id}",
            UnknownStream,
            "Check both ids, and that the access token belongs to the right account.",
            source_id,
            ids={"source_id": source_id, "stream_id": stream_id},
        )
        return self._get(GET_STREAM_SCHEMA, StreamSchema.from_json, context)

    def update_streams(self, source: int | str, updates: Sequence[StreamUpdate]) -> None:
        """Use one request to select streams and fields, and to change the replication settings of streams.

        The source must be at the configuration step `field_selection` or `fully_configured`. Stitch may
        accept a combination of fields that the metadata `fieldExclusions` forbids, but then the next
        extraction fails.

        :raises UnknownStream: if the source has no stream with this `tap_stream_id`.
        :raises UnknownSource: if the account has no such source.
        :raises StitchBadRequest: if a field is not supported, or if Stitch rejects the request for another
            reason.

        Source: Stitch Connect API, "Update a stream's metadata".
        """
        json = {"streams": validate_stream_updates(updates)}
        self._update(
            UPDATE_STREAMS,
            ignore_body,
            self._source_context(source),
            json=json,
        )
