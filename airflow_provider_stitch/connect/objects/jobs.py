"""Connection checks, replication jobs, extractions and loads, and the pages that list them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

from airflow_provider_stitch.connect._json import (
    excerpt,
    flag,
    free_text,
    integer,
    mapping,
    message_within,
    readable,
    record,
    required_integer,
    required_text,
    text,
)
from airflow_provider_stitch.connect.errors import InvalidArgument, UnexpectedAnswer
from airflow_provider_stitch.connect.objects.times import time

T = TypeVar("T")

RECORDS_PER_PAGE = 100  #: fixed by Stitch
ERROR_TEXT_LIMIT = 500  #: characters of a load's error that are shown

_JOB_NAME = re.compile(
    r"(\d{1,18})\.(\d{1,18})\.([a-z_]{1,32})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
    re.ASCII | re.IGNORECASE,
)
_GREGORIAN_REFORM = datetime(
    1582, 10, 15, tzinfo=timezone.utc
)  # a version-1 uuid counts from here, in 100 ns


@dataclass(frozen=True, slots=True)
class JobName:
    """What a job's name says: `<client id>.<source or destination id>.<mode>.<uuid>`.

    Source: Stitch Connect API, "Replication job object"; that the uuid holds the start its samples show.
    """

    full: str
    client_id: int
    source_id: int
    mode: str  #: `sync` or `check`
    uuid: uuid.UUID

    @classmethod
    def parse(cls, value: str) -> JobName:
        """Take a job's name apart.

        :raises InvalidArgument: it is not the name of a job.
        """
        matched = _JOB_NAME.fullmatch(value)
        if matched is None:
            raise InvalidArgument(
                f"{excerpt(value)} is not the name of a Stitch job. One looks like "
                "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d."
            )
        client_id, source_id, mode, unique = matched.groups()
        return cls(value, int(client_id), int(source_id), mode.lower(), uuid.UUID(unique))

    @property
    def started_at(self) -> datetime | None:
        """When the job began (UTC, to the microsecond); None if its uuid is not one that holds a time."""
        if self.uuid.version != 1:
            return None
        return _GREGORIAN_REFORM + timedelta(microseconds=self.uuid.time // 10)


@dataclass(frozen=True, slots=True)
class ReplicationJob:
    """A job that Stitch has just started. Source: Stitch Connect API, "Replication job object"."""

    job_name: str
    source_id: int
    answered_at: datetime | None  #: Stitch's own time of the answer


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """A test of a source's or destination's connection parameters.

    Source: Stitch Connect API, "Connection check object".
    """

    name: str  #: its job name
    status: str | None  #: `running`, `succeeded` or `failed`: judge by this
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
        check = record(data, "connection check")
        return cls(
            name=required_text(check, "name"),
            status=text(check, "status"),
            start_time=time(check, "start_time"),
            completion_time=time(check, "completion_time"),
            error=flag(check, "error"),
            check_exit_status=integer(check, "check_exit_status"),
            discovery_exit_status=integer(check, "discovery_exit_status"),
            tap_exit_status=integer(check, "tap_exit_status"),
            target_exit_status=integer(check, "target_exit_status"),
            discovery_error_message=free_text(check, "discovery_error_message"),
            tap_error_message=free_text(check, "tap_error_message"),
            target_error_message=free_text(check, "target_error_message"),
            raw=check,
        )


@dataclass(frozen=True, slots=True)
class Extraction:
    """The last completed extraction job of a source. Source: Stitch Connect API, "Extraction object".

    An exit status is 0 for good, anything else for failed. None means still running, unless there is a
    completion time: then Stitch terminated the job. Descriptions are raw exception texts of any length.
    """

    job_name: str
    source_id: int
    stitch_client_id: int | None
    tap_name: str | None  #: `tap-github`: not the source's type
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
        extraction = record(data, "extraction")
        return cls(
            job_name=required_text(extraction, "job_name"),
            source_id=required_integer(extraction, "source_id"),
            stitch_client_id=integer(extraction, "stitch_client_id"),
            # The field table says tap_name, every sample says source_type.
            tap_name=text(extraction, "source_type") or text(extraction, "tap_name"),
            start_time=time(extraction, "start_time"),
            completion_time=time(extraction, "completion_time"),
            discovery_exit_status=integer(extraction, "discovery_exit_status"),
            tap_exit_status=integer(extraction, "tap_exit_status"),
            target_exit_status=integer(extraction, "target_exit_status"),
            discovery_description=free_text(extraction, "discovery_description"),
            tap_description=free_text(extraction, "tap_description"),
            target_description=free_text(extraction, "target_description"),
            raw=extraction,
        )

    @property
    def succeeded(self) -> bool:
        """Whether the job has ended and all its parts succeeded.

        A tap without discovery has none to succeed.
        """
        statuses = (self.discovery_exit_status or 0, self.tap_exit_status, self.target_exit_status)
        return self.completion_time is not None and statuses == (0, 0, 0)

    @property
    def failed(self) -> bool:
        """Whether the job has ended without success; a job that Stitch terminated has failed."""
        return self.completion_time is not None and not self.succeeded

    @property
    def terminated(self) -> bool:
        """Whether the job was stopped before its end, by a user or by Stitch after 24 hours.

        Source: Stitch Connect API, "Extraction object" (sample of a terminated job: all statuses are null).
        """
        statuses = (self.discovery_exit_status, self.tap_exit_status, self.target_exit_status)
        return self.completion_time is not None and statuses == (None, None, None)


@dataclass(frozen=True, slots=True)
class Load:
    """The latest load attempt of one stream. Source: Stitch Connect API, "Load object".

    Two loads may share source and stream name: two schemas of one database, or a deleted source and its
    successor.
    """

    source_name: str  #: the source's `name`
    stream_name: str
    stitch_client_id: int | None
    last_batch_loaded_at: datetime | None  #: None while the stream is in an error state
    error_state: Any | None  #: anything but None: the load failed. Its inside may change, so ask `error`.
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Load:
        load = record(data, "load")
        return cls(
            source_name=required_text(load, "source_name"),
            stream_name=required_text(load, "stream_name"),
            stitch_client_id=integer(load, "stitch_client_id"),
            last_batch_loaded_at=time(load, "last_batch_loaded_at"),
            error_state=load.get("error_state"),
            raw=load,
        )

    @property
    def error(self) -> str | None:
        """What the destination said, at most 500 characters; None if the load is fine."""
        if self.error_state is None:
            return None
        state = self.error_state
        told = state.get("notification_data") if isinstance(state, Mapping) else None
        if isinstance(told, Mapping) and isinstance(told.get("warehouse_message"), str):
            parts = dict.fromkeys([told.get("message"), told["warehouse_message"]])  # often they are the same
            return readable(": ".join(part for part in parts if isinstance(part, str)), ERROR_TEXT_LIMIT)
        return readable(message_within(state), ERROR_TEXT_LIMIT)


@dataclass(frozen=True, slots=True)
class MalformedRecord:
    """A record of a list that is not what it should be. The other records of its page can be read."""

    source: object  #: its `source_id` or `source_name`, None if it has neither
    error: UnexpectedAnswer


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page (at most 100 records) of a list, as of the moment of the answer.

    Records shift between pages as the list changes, so absence from one sweep proves nothing.

    Source: Stitch Connect API, "Pagination".
    """

    records: tuple[T, ...]
    number: int  #: counted from 1
    total: int  #: records in the whole list
    answered_at: datetime | None  #: Stitch's own time of the answer
    next_page: int | None  #: None: this is the last
    malformed: tuple[MalformedRecord, ...] = ()  #: records that cannot be read

    @classmethod
    def from_json(
        cls, data: object, make: Callable[[object], T], *, number: int, answered_at: datetime | None
    ) -> Page[T]:
        """Make a page of the answer to the request for page `number`, each record by `make`."""
        page = record(data, "page")
        records = page.get("data")
        if not isinstance(records, list):
            raise UnexpectedAnswer(f"The page has no list of records in `data`: {excerpt(page)}")
        told, total = integer(page, "page"), integer(page, "total")
        readable_records, malformed = _read_each(records, make)
        return cls(
            records=readable_records,
            malformed=malformed,
            number=number if told is None else told,
            total=len(records) if total is None else total,
            answered_at=answered_at,
            next_page=_next_page(page),
        )

    @property
    def last_page(self) -> int:
        """Number of the list's last page, as far as `total` tells; at least 1."""
        return max(1, -(-self.total // RECORDS_PER_PAGE))


def _read_each(
    records: list[object], make: Callable[[object], T]
) -> tuple[tuple[T, ...], tuple[MalformedRecord, ...]]:
    """Make an object of each record; keep apart the records of which none can be made."""
    results = [_read_one(each, make) for each in records]
    malformed = tuple(each for each in results if isinstance(each, MalformedRecord))
    return tuple(each for each in results if not isinstance(each, MalformedRecord)), malformed


def _read_one(data: object, make: Callable[[object], T]) -> T | MalformedRecord:
    try:
        return make(data)
    except UnexpectedAnswer as error:
        fields = data if isinstance(data, Mapping) else {}
        return MalformedRecord(fields.get("source_id", fields.get("source_name")), error)


def _next_page(page: Mapping[str, Any]) -> int | None:
    link = text(mapping(page, "links") or {}, "next")
    if link is None:
        return None
    try:
        numbers = parse_qs(urlsplit(link).query).get("page", [])
        number = int(numbers[0]) if len(numbers) == 1 and re.fullmatch("[0-9]{1,9}", numbers[0]) else None
    except ValueError:
        number = None
    if number is None:
        raise UnexpectedAnswer(f"`links.next` names no page: {excerpt(link)}")
    return number
