"""The objects of the Stitch Connect API, as frozen dataclasses.

Each is made in one place, its `from_json`. Stitch may add fields at any time and leaves many out, so: ids and
names are required, everything else may be missing or null (then None), unknown keys stay in `raw`, and a
value of another type than documented raises UnexpectedAnswer. Times are UTC. Only the standard library is
imported.
"""

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

T = TypeVar("T")

RECORDS_PER_PAGE = 100  #: fixed by Stitch
ERROR_TEXT_LIMIT = 500  #: characters of a load's error that are shown

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d))", re.ASCII | re.IGNORECASE
)
_JOB_NAME = re.compile(
    r"(\d{1,18})\.(\d{1,18})\.([a-z_]{1,32})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
    re.ASCII | re.IGNORECASE,
)
_GREGORIAN_REFORM = datetime(
    1582, 10, 15, tzinfo=timezone.utc
)  # a version-1 uuid counts from here, in 100 ns


def parse_time(value: str) -> datetime:
    """Return the instant that an ISO 8601 text with `Z` or an offset names, in UTC.

    Whole seconds and fractions are accepted; what is finer than a microsecond is dropped.

    :raises InvalidArgument: it is not such a text.

    Source: Stitch Connect API, "Data types" (timestamps, samples with and without milliseconds).
    """
    matched = _TIME.fullmatch(value)
    if matched is None:
        raise InvalidArgument(f"{excerpt(value)} is not a time like 2026-08-17T06:00:02Z.")
    whole, fraction, sign, hours, minutes = matched.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        local = datetime.strptime(whole.upper(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        local = local.replace(microsecond=int(f"{fraction or '0':0<6.6}"))
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"{excerpt(value)} is not a time that exists.") from error


def format_time(moment: datetime) -> str:
    """Return an aware datetime in Stitch's own form, whole seconds in UTC: `2026-08-17T06:00:02Z`.

    :raises InvalidArgument: the datetime has no time zone.
    """
    if moment.tzinfo is None:
        raise InvalidArgument(f"{moment.isoformat()} has no time zone.")
    utc = moment.astimezone(timezone.utc).replace(microsecond=0, tzinfo=None)
    return f"{utc.isoformat()}Z"


@dataclass(frozen=True, slots=True)
class Source:
    """A database, API or other application that Stitch replicates from; also a paused or deleted one.

    Source: Stitch Connect API, "Source object".
    """

    id: int
    name: str  #: schema in the destination; unique among the account's living sources, never changes
    display_name: str  #: label, may change; the name if Stitch gives none
    type: str | None  #: `platform.github`, `platform.hp-postgres`, `import_api` ...
    stitch_client_id: int | None
    paused_at: datetime | None  #: set when a user paused it
    system_paused_at: datetime | None  #: set when Stitch paused it
    deleted_at: datetime | None  #: deleted sources stay readable
    created_at: datetime | None
    updated_at: datetime | None
    check_job_name: str | None  #: of its last connection check; often missing
    current_step: str | None  #: of its report card: `form` ... `fully_configured`
    properties: Mapping[str, Any]
    schedule: Mapping[str, Any] | None  #: None does not mean paused
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Source:
        source = record(data, "source")
        name = required_text(source, "name")
        return cls(
            id=required_integer(source, "id"),
            name=name,
            display_name=text(source, "display_name") or name,
            type=text(source, "type"),
            stitch_client_id=integer(source, "stitch_client_id"),
            paused_at=_time(source, "paused_at"),
            system_paused_at=_time(source, "system_paused_at"),
            deleted_at=_time(source, "deleted_at"),
            created_at=_time(source, "created_at"),
            updated_at=_time(source, "updated_at"),
            check_job_name=text(source, "check_job_name"),
            current_step=_current_step(source),
            properties=mapping(source, "properties") or {},
            schedule=mapping(source, "schedule"),
            raw=source,
        )

    @property
    def label(self) -> str:
        """The source as messages call it: `github (310442)`."""
        return f"{self.name} ({self.id})"


@dataclass(frozen=True, slots=True)
class Stream:
    """A table (view, API endpoint) of a source. Source: Stitch Connect API, "Stream object"."""

    stream_id: int
    tap_stream_id: str  #: unique within the source
    stream_name: str  #: name of the table; two schemas may hold the same
    selected: bool | None  #: None: never selected
    metadata: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Stream:
        stream = record(data, "stream")
        return cls(
            stream_id=required_integer(stream, "stream_id"),
            tap_stream_id=required_text(stream, "tap_stream_id"),
            stream_name=required_text(stream, "stream_name"),
            selected=flag(stream, "selected"),
            metadata=mapping(stream, "metadata") or {},
            raw=stream,
        )

    @property
    def schema_name(self) -> str | None:
        """The schema that the table is in; only databases have one."""
        return free_text(self.metadata, "schema-name")


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """A test of a source's connection parameters. Source: Stitch Connect API, "Connection check object"."""

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
            start_time=_time(check, "start_time"),
            completion_time=_time(check, "completion_time"),
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
            start_time=_time(extraction, "start_time"),
            completion_time=_time(extraction, "completion_time"),
            discovery_exit_status=integer(extraction, "discovery_exit_status"),
            tap_exit_status=integer(extraction, "tap_exit_status"),
            target_exit_status=integer(extraction, "target_exit_status"),
            discovery_description=free_text(extraction, "discovery_description"),
            tap_description=free_text(extraction, "tap_description"),
            target_description=free_text(extraction, "target_description"),
            raw=extraction,
        )


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
            last_batch_loaded_at=_time(load, "last_batch_loaded_at"),
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
class Destination:
    """The warehouse, lake or storage that Stitch loads into.

    Source: Stitch Connect API, "Destination object".
    """

    id: int
    name: str
    type: str | None
    stitch_client_id: int | None
    paused_at: datetime | None
    system_paused_at: datetime | None
    deleted_at: datetime | None
    current_step: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> Destination:
        destination = record(data, "destination")
        return cls(
            id=required_integer(destination, "id"),
            name=required_text(destination, "name"),
            type=text(destination, "type"),
            stitch_client_id=integer(destination, "stitch_client_id"),
            paused_at=_time(destination, "paused_at"),
            system_paused_at=_time(destination, "system_paused_at"),
            deleted_at=_time(destination, "deleted_at"),
            current_step=_current_step(destination),
            raw=destination,
        )


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
    def began_at(self) -> datetime | None:
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
        return cls(
            records=tuple(make(each) for each in records),
            number=number if told is None else told,
            total=len(records) if total is None else total,
            answered_at=answered_at,
            next_page=_next_page(page),
        )

    @property
    def last_page(self) -> int:
        """Number of the list's last page, as far as `total` tells; at least 1."""
        return max(1, -(-self.total // RECORDS_PER_PAGE))


def _time(data: Mapping[str, Any], key: str) -> datetime | None:
    value = text(data, key)
    if value is None:
        return None
    try:
        return parse_time(value)
    except InvalidArgument as error:
        raise UnexpectedAnswer(f"`{key}` is not a time: {excerpt(value)}") from error


def _current_step(data: Mapping[str, Any]) -> str | None:
    # Not `current_step`: samples show 1 beside `fully_configured`.
    return text(mapping(data, "report_card") or {}, "current_step_type")


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
