"""Connection checks and streams of sources. Source: Stitch Connect API, "Connection checks", "Streams"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect._arguments import checked_id, checked_stream_updates
from airflow_provider_stitch.connect._refusals import About, refusal_about
from airflow_provider_stitch.connect.endpoints._base import Endpoint, EndpointGroup, nothing_due
from airflow_provider_stitch.connect.endpoints.sources import about_source
from airflow_provider_stitch.connect.errors import StitchNotFound, UnknownStream
from airflow_provider_stitch.connect.objects.jobs import ConnectionCheck
from airflow_provider_stitch.connect.objects.streams import Stream, StreamSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.connect.objects.streams import StreamUpdate

GET_LAST_CONNECTION_CHECK = Endpoint("GET", "/v4/sources/{source_id}/last-connection-check")
LIST_STREAMS = Endpoint("GET", "/v4/sources/{source_id}/streams")
GET_STREAM_SCHEMA = Endpoint("GET", "/v4/sources/{source_id}/streams/{stream_id}")
UPDATE_STREAMS = Endpoint("PUT", "/v4/sources/{source_id}/streams/metadata")


class StreamEndpoints(EndpointGroup):
    """Connection checks and streams of sources."""

    def get_last_connection_check(self, source_id: int) -> ConnectionCheck:
        """Return the last connection check of a source, whoever caused it.

        :raises StitchNotFound: there was none, or there is no such source; Stitch does not tell which.

        Source: Stitch Connect API, "Retrieve last connection check".
        """
        source = about_source(source_id)
        answer = self._ask_anything(GET_LAST_CONNECTION_CHECK, source)
        if answer.status == 404:
            check = f"connection check of source {source_id}"
            hint = "Either it was never checked, or the account has no such source."
            never_checked = refusal_about(
                answer, replace(source, what=check, hint=hint, unknown=StitchNotFound)
            )
            never_checked.is_doubtful = False
            raise never_checked
        if not answer.ok:
            raise refusal_about(answer, source)
        return self._read(GET_LAST_CONNECTION_CHECK, answer, ConnectionCheck.from_json)

    def list_streams(self, source_id: int) -> list[Stream]:
        """Return the streams that the last structure sync found. Right after a change, one job behind.

        :raises UnknownSource: the account has no such source.

        Source: Stitch Connect API, "List streams".
        """
        return self._list(LIST_STREAMS, Stream.from_json, about_source(source_id))

    def get_stream_schema(self, source_id: int, stream_id: int) -> StreamSchema:
        """Return the fields of a stream and what is known of them.

        :param stream_id: the stream's number, not its `tap_stream_id`.
        :raises UnknownStream: the source has no such stream, or the account no such source: Stitch does not
            tell which.

        Source: Stitch Connect API, "Retrieve a stream's schema".
        """
        about = About(
            f"stream {checked_id('stream', stream_id)} of source {checked_id('source', source_id)}",
            UnknownStream,
            "Check both ids, and that the access token is of the right account.",
            source_id,
            ids={"source_id": source_id, "stream_id": stream_id},
        )
        return self._get(GET_STREAM_SCHEMA, StreamSchema.from_json, about)

    def update_streams(self, source_id: int, updates: Sequence[StreamUpdate]) -> None:
        """Select streams and fields, and say how streams are replicated; all in one request.

        Works only while the source is at the step `field_selection` or `fully_configured`. Stitch may take
        a combination of fields that their `fieldExclusions` forbid; the next extraction fails then.

        :raises UnknownStream: the source has no stream of that `tap_stream_id`.
        :raises UnknownSource: the account has no such source.
        :raises StitchBadRequest: a field is not supported, or another reason, which Stitch tells.

        Source: Stitch Connect API, "Update a stream's metadata".
        """
        self._update(
            UPDATE_STREAMS,
            nothing_due,
            about_source(source_id),
            json={"streams": checked_stream_updates(updates)},
        )
