"""Classes for connection checks, replication jobs, extractions and loads."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

from airflow_provider_stitch.connect.errors import InvalidArgument, UnexpectedResponse
from airflow_provider_stitch.connect.objects.json import (
    display_string,
    excerpt,
    find_message,
    json_object,
    one_line,
    optional_boolean,
    optional_integer,
    optional_object,
    optional_string,
    required_integer,
    required_string,
)
from airflow_provider_stitch.connect.objects.times import optional_time

T = TypeVar("T")

RECORDS_PER_PAGE = 100  #: number of records per page, fixed by Stitch
MAX_ERROR_LENGTH = 500  #: maximum length of a load's error message, in characters

_JOB_NAME = re.compile(
    r"(\d{1,18})\.(\d{1,18})\.([a-z_]{1,32})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
    re.ASCII | re.IGNORECASE,
)
# The time in a version 1 UUID is the number of 100 ns intervals since this date.
_UUID_EPOCH = datetime(1582, 10, 15, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class JobName:
    """The parts of a job's name: `<client id>.<source or destination id>.<mode>.<uuid>`.

    Source: Stitch Connect API, "Replication job object". In Stitch's samples, the UUID contains the start
    time.
    """

    full: str
    client_id: int
    source_id: int
    mode: str  #: the kind of job, `sync` or `check`
    uuid: uuid.UUID

    @classmethod
    def parse(cls, value: str) -> JobName:
        """Parse a job's name.

        :raises InvalidArgument: if the string is not the name of a job.
        """
        matched = _JOB_NAME.fullmatch(value)
        if matched is None:
            raise InvalidArgument(
                f"{excerpt(value)} is not the name of a Stitch job. An example of a name: "
                "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d."
            )
        client_id, source_id, mode, unique = matched.groups()
        return cls(value, int(client_id), int(source_id), mode.lower(), uuid.UUID(unique))

    @property
    def start_time(self) -> datetime | None:
        """The start time of the job (UTC, with microseconds), or None if the UUID contains no time."""
        if self.uuid.version != 1:
            return None
        return _UUID_EPOCH + timedelta(microseconds=self.uuid.time // 10)


@dataclass(frozen=True, slots=True)
class ReplicationJob:
    """A replication job that was just started. Source: Stitch Connect API, "Replication job object"."""

    job_name: str
    source_id: int
    responded_at: datetime | None  #: time of the response (UTC), or None if the time is unknown


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """A check of the connection settings of a source or destination.

    Source: Stitch Connect API, "Connection check object".
    """

    name: str  #: the job name of the check
    status: str | None  #: `running`, `succeeded` or `failed`; only this field determines the outcome
    start_time: datetime | None
    completion_time: datetime | None
    error: bool | None
    check_exit_status: int | None
    discovery_exit_status: int | None
    tap_exit_status: int | None
    target_exit_status: int | None
    discovery_error_message: str | None
    tap_error_message: str | None
    target_error_message: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> ConnectionCheck:
        check = json_object(data, "connection check")
        return cls(
            name=required_string(check, "name"),
            status=optional_string(check, "status"),
            start_time=optional_time(check, "start_time"),
            completion_time=optional_time(check, "completion_time"),
            error=optional_boolean(check, "error"),
            check_exit_status=optional_integer(check, "check_exit_status"),
            discovery_exit_status=optional_integer(check, "discovery_exit_status"),
            tap_exit_status=optional_integer(check, "tap_exit_status"),
            target_exit_status=optional_integer(check, "target_exit_status"),
            discovery_error_message=display_string(check, "discovery_error_message"),
            tap_error_message=display_string(check, "tap_error_message"),
            target_error_message=display_string(check, "target_error_message"),
            raw=check,
        )


@dataclass(frozen=True, slots=True)
class Extraction:
    """The last completed extraction job of a source. Source: Stitch Connect API, "Extraction object".

    An exit status of 0 means success, and any other number means failure. An exit status of None means that
    the phase has not finished or did not run. If all exit statuses are None and the job has a completion
    time, the job was terminated. The descriptions of errors are unprocessed exception messages of any length.
    """

    job_name: str
    source_id: int
    stitch_client_id: int | None
    tap_name: str | None  #: the name of the tap, such as `tap-github`; differs from the type of the source
    start_time: datetime | None
    completion_time: datetime | None
    discovery_exit_status: int | None
    tap_exit_status: int | None
    target_exit_status: int | None
    discovery_description: str | None
    tap_description: str | None
    target_description: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Extraction:
        extraction = json_object(data, "extraction")
        return cls(
            job_name=required_string(extraction, "job_name"),
            source_id=required_integer(extraction, "source_id"),
            stitch_client_id=optional_integer(extraction, "stitch_client_id"),
            # Stitch's documentation lists the field as tap_name, but all samples contain source_type.
            tap_name=optional_string(extraction, "source_type") or optional_string(extraction, "tap_name"),
            start_time=optional_time(extraction, "start_time"),
            completion_time=optional_time(extraction, "completion_time"),
            discovery_exit_status=optional_integer(extraction, "discovery_exit_status"),
            tap_exit_status=optional_integer(extraction, "tap_exit_status"),
            target_exit_status=optional_integer(extraction, "target_exit_status"),
            discovery_description=display_string(extraction, "discovery_description"),
            tap_description=display_string(extraction, "tap_description"),
            target_description=display_string(extraction, "target_description"),
            raw=extraction,
        )

    @property
    def succeeded(self) -> bool:
        """Whether the job has finished and all of its phases succeeded.

        The exit status of the discovery may be None, because some taps have no discovery.
        """
        statuses = (self.discovery_exit_status or 0, self.tap_exit_status, self.target_exit_status)
        return self.completion_time is not None and statuses == (0, 0, 0)

    @property
    def failed(self) -> bool:
        """Whether the job has finished without success, for example because it was terminated."""
        return self.completion_time is not None and not self.succeeded

    @property
    def terminated(self) -> bool:
        """Whether the job was stopped by a user or, after 24 hours, by Stitch.

        Source: Stitch Connect API, "Extraction object". In the sample of a terminated job, all exit statuses
        are null.
        """
        statuses = (self.discovery_exit_status, self.tap_exit_status, self.target_exit_status)
        return self.completion_time is not None and statuses == (None, None, None)


@dataclass(frozen=True, slots=True)
class Load:
    """The latest load attempt of one stream. Source: Stitch Connect API, "Load object".

    Two loads may have the same source name and stream name. Loads with equal names can belong to tables in
    different schemas of one database, or to streams of a deleted source and its replacement.
    """

    source_name: str  #: the `name` of the source
    stream_name: str
    stitch_client_id: int | None
    #: When the last batch was loaded; None while the stream is in an error state.
    last_batch_loaded_at: datetime | None
    #: Any value other than None means that the load failed. The structure of the value may change, so use
    #: `error` instead.
    error_state: Any | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    #: The id of the load's source. Stitch does not return this id, so it is derived from the account's
    #: sources.
    source_id: int | None = None

    @classmethod
    def from_json(cls, data: object) -> Load:
        load = json_object(data, "load")
        return cls(
            source_name=required_string(load, "source_name"),
            stream_name=required_string(load, "stream_name"),
            stitch_client_id=optional_integer(load, "stitch_client_id"),
            last_batch_loaded_at=optional_time(load, "last_batch_loaded_at"),
            error_state=load.get("error_state"),
            raw=load,
        )

    @property
    def error(self) -> str | None:
        """The destination's error message, shortened to 500 characters, or None if the load has no error."""
        if self.error_state is None:
            return None
        state = self.error_state
        details = state.get("notification_data") if isinstance(state, Mapping) else None
        if isinstance(details, Mapping) and isinstance(details.get("warehouse_message"), str):
            parts = dict.fromkeys([details.get("message"), details["warehouse_message"]])  # often identical
            return one_line(": ".join(part for part in parts if isinstance(part, str)), MAX_ERROR_LENGTH)
        return one_line(find_message(state), MAX_ERROR_LENGTH)


@dataclass(frozen=True, slots=True)
class MalformedRecord:
    """A record that cannot be parsed. The valid records on the same page are returned nevertheless."""

    source: object  #: the record's `source_id` or `source_name`; None if both are missing
    error: UnexpectedResponse


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list at the time of the response. A page contains at most 100 records.

    Records move between pages when the list changes. A record may therefore be missing even if all pages are
    read.

    Source: Stitch Connect API, "Pagination".
    """

    records: tuple[T, ...]
    number: int  #: page number, starting at 1
    total: int  #: number of records in the whole list
    responded_at: datetime | None  #: time of the response (UTC), or None if the time is unknown
    next_page: int | None  #: the page number of the next page, or None on the last page
    malformed: tuple[MalformedRecord, ...] = ()  #: records that cannot be parsed

    @classmethod
    def from_json(
        cls, data: object, parse: Callable[[object], T], *, number: int, responded_at: datetime | None
    ) -> Page[T]:
        """Parse the response that contains page `number`, and apply `parse` to each record."""
        page = json_object(data, "page")
        records = page.get("data")
        if not isinstance(records, list):
            raise UnexpectedResponse(f"The page has no array of records in `data`: {excerpt(page)}")
        returned_number, total = optional_integer(page, "page"), optional_integer(page, "total")
        parsed, malformed = _parse_records(records, parse)
        return cls(
            records=parsed,
            malformed=malformed,
            number=number if returned_number is None else returned_number,
            total=len(records) if total is None else total,
            responded_at=responded_at,
            next_page=_next_page(page),
        )

    @property
    def last_page(self) -> int:
        """The page number of the list's last page, calculated from `total`. The page number is at least 1."""
        return max(1, -(-self.total // RECORDS_PER_PAGE))


def _parse_records(
    records: list[object], parse: Callable[[object], T]
) -> tuple[tuple[T, ...], tuple[MalformedRecord, ...]]:
    """Parse each record. Return the valid records and the records that cannot be parsed."""
    results = [_parse_record(each, parse) for each in records]
    malformed = tuple(each for each in results if isinstance(each, MalformedRecord))
    return tuple(each for each in results if not isinstance(each, MalformedRecord)), malformed


def _parse_record(data: object, parse: Callable[[object], T]) -> T | MalformedRecord:
    try:
        return parse(data)
    except UnexpectedResponse as error:
        fields = data if isinstance(data, Mapping) else {}
        return MalformedRecord(fields.get("source_id", fields.get("source_name")), error)


def _next_page(page: Mapping[str, Any]) -> int | None:
    link = optional_string(optional_object(page, "links") or {}, "next")
    if link is None:
        return None
    try:
        numbers = parse_qs(urlsplit(link).query).get("page", [])
        number = int(numbers[0]) if len(numbers) == 1 and re.fullmatch("[0-9]{1,9}", numbers[0]) else None
    except ValueError:
        number = None
    if number is None:
        raise UnexpectedResponse(f"`links.next` has no page number: {excerpt(link)}")
    return number
