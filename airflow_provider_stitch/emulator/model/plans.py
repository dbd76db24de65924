"""Plans that a test can set: the behaviour of streams, jobs, loads, logs and connection checks.

All classes are frozen dataclasses. All durations and offsets are seconds of Stitch's (virtual) time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: The runner writes a counter in one of three forms: ``METRIC: {...}``, ``METRIC Point(...)``, or
#: ``replicated <N> records from "<endpoint>" endpoint``.
CounterForm = Literal["json", "point", "sentence"]
Target = Literal["target-stitch", "avro"]

_DEFAULT_FIELDS: Mapping[str, str] = {"id": "automatic", "updated_at": "automatic", "name": "available"}


@dataclass(frozen=True, slots=True)
class EmulatedStream:
    """A stream of an emulated source. Its default name is its key in ``add_source(streams=...)``."""

    rows: int = 0  #: rows that each job extracts; with 0 the stream has no new rows and gets no load
    tap_stream_id: str | None = None  #: None: the key
    stream_name: str | None = None  #: the name of the table; None: the key
    selected: bool | None = True  #: None: never selected, False: deselected
    schema_name: str | None = None  #: databases only
    database_name: str | None = None  #: databases only
    is_view: bool = False  #: databases only
    flushes: int = 1  #: number of batches that contain the rows of a job
    primary_key: tuple[str, ...] = ("id",)  #: names of the fields
    replication_method: str = "INCREMENTAL"  #: ``INCREMENTAL``, ``FULL_TABLE`` or ``LOG_BASED``
    #: Inclusion by field name: ``automatic``, ``available`` or ``unsupported``.
    fields: Mapping[str, str] = field(default_factory=lambda: _DEFAULT_FIELDS)

    def __post_init__(self) -> None:
        if self.rows < 0 or self.flushes < 1:
            raise ValueError("A stream must have at least 0 rows and at least one flush.")


@dataclass(frozen=True)
class LoadError:
    """A failed load of a batch. The batch is loaded ``heals_after`` seconds later, or never if that is None.

    Stitch keeps rows for 30 days, so a batch that has not been loaded by then is never loaded.
    """

    message: str = "establish a connection to your data warehouse"  #: error message of the destination
    heals_after: float | None = None  #: seconds until the batch is loaded after all; None: never


@dataclass(frozen=True)
class Flush:
    """One batch of a stream: its ``rows`` reach the pipeline ``at`` seconds after the job's start.

    The load is attempted ``prepare`` + ``load`` seconds after the flush. A batch of 0 rows contains only a
    version message: ``target-stitch`` writes its lines, the Avro target writes none, and nothing is loaded.
    """

    at: float  #: seconds after the start of the job
    rows: int  #: number of rows of the batch
    prepare: float = 45.0  #: seconds from the flush to the start of the load
    load: float = 30.0  #: duration of the load in seconds
    error: LoadError | None = None  #: why the load fails; None: it succeeds
    rejected: int = 0  #: number of rows that the destination rejects, which does not fail the load
    requests: int | None = None  #: number of requests that send the batch; None: as in the ``LogPlan``
    retries: int | None = None  #: number of retries of the last request; None: as in the ``LogPlan``

    def __post_init__(self) -> None:
        if self.rows < 0 or (self.requests is not None and self.requests < 1):
            raise ValueError("A batch must have at least 0 rows and at least one request.")


@dataclass(frozen=True)
class LogPlan:
    """The content of a job's extraction log.

    Its lines have the form that the open-source ``target-stitch`` or the Avro target writes.
    """

    available: bool = True  #: False: a request for the log returns 404
    #: None: the Avro target for version-2 databases (types ``hp-*``), ``target-stitch`` for all others.
    target: Target | None = None
    #: The version of ``target-stitch``, 1.0 to 4.0. A version such as "1.8" stands for its last known
    #: release.
    target_version: str = "4.0"
    #: The first line of ``target-stitch`` 3.0 and later. Some versions write ``Using turbo_boost_factor``.
    first_line: Literal["batch_size_preferences", "turbo_boost_factor"] = "batch_size_preferences"
    #: The streams that the tap counts: all, none, or only ``counted_streams``, because some taps count only
    #: parent streams. None: as the tap of the source's type does.
    tap_counters: Literal["all", "parents", "none"] | None = None
    counted_streams: Sequence[str] = ()  #: the streams that ``tap_counters="parents"`` counts
    #: Additional counters by endpoint, for endpoints that are not streams.
    other_counters: Mapping[str, int] = field(default_factory=dict)
    #: The form of the tap's counters. A counter without an endpoint is written as a
    #: ``point`` instead of a ``sentence``.
    tap_counter_form: CounterForm = "sentence"
    target_counter_form: CounterForm = "json"  #: the form of the target's counters
    requests_per_batch: int = 1  #: number of requests that send each batch
    retries: int = 0  #: number of retries of the last request of each batch
    #: Seconds from the serialization of a batch to its request, which waits for an earlier request to finish.
    serialized_ahead: float = 0.0
    #: The runner crashes at the end: a traceback replaces the target's last line and the exit line.
    runner_crashes: bool = False
    #: Avro target: ``send-stream-record-count-impl <stream>`` after every flush, after the last flush of a
    #: stream, or never. It is not documented how many of these lines a stream with two flushes has.
    flush_markers: Literal["every", "last", "none"] = "every"
    exit_line: bool = True  #: whether the log contains the exit line
    cut_after_lines: int | None = None  #: the log ends after this number of lines and half of the next one
    extra_lines: Sequence[str] = ()  #: lines to insert, unchanged, before the target's last line
    padding_bytes: int = 0  #: minimum size of irrelevant lines to add, for tests with a long log

    def __post_init__(self) -> None:
        if self.requests_per_batch < 1 or self.serialized_ahead < 0:
            raise ValueError("A batch must have at least one request and be serialized before it is sent.")
        release_of(self.target_version)
        _check_retries(self, self.retries)


#: A request is retried after 1, 2, 4, ... seconds, for 127 s in total in version 1 and for 15 s later.
MAX_RETRIES_OF_VERSION_1 = 7
MAX_RETRIES = 4

#: The last known release of each version of ``target-stitch``.
_RELEASES: Mapping[str, str] = {
    "1.8": "1.8.1",
    "2.0": "2.0.5",
    "3.0": "3.0.3",
    "3.1": "3.1.0",
    "3.2": "3.2.1",
    "4.0": "4.0.3",
}


def _check_retries(log: LogPlan, retries: int) -> None:
    """Raise ValueError if this version of ``target-stitch`` gives up before that many retries."""
    limit = MAX_RETRIES_OF_VERSION_1 if release_of(log.target_version)[0] == 1 else MAX_RETRIES
    if not 0 <= retries <= limit:
        raise ValueError(f"target-stitch {log.target_version} retries a request at most {limit} times.")


def release_of(version: str) -> tuple[int, int, int]:
    """Return the release of ``target-stitch`` for a version such as "4.0" or "3.0.1".

    :raises ValueError: if the version is not between 1.0 and 4.0. The log lines of others are not known.
    """
    parts = _RELEASES.get(version, version).split(".")
    if not 2 <= len(parts) <= 3 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"{version!r} is not a version of target-stitch. Use one such as '4.0' or '3.0.1'.")
    major, minor, patch = map(int, [*parts, "0"][:3])
    if not (1, 0) <= (major, minor) <= (4, 0):
        raise ValueError(f"The log lines of target-stitch {version} are not known. Use version 1.0 to 4.0.")
    return major, minor, patch


@dataclass(frozen=True)
class JobPlan:
    """The course of a replication job. By default it takes 150 s, and a flush is loaded after 75 to 115 s.

    Discovery is followed by the tap, and the target ends ``target_seconds`` after the tap. A failed discovery
    ends the job. Flushed rows are loaded even if the job fails. Stitch terminates a job after 24 hours. A
    failed phase without a description gets a default one, unless its exit status is negative, because a
    process that was killed by a signal leaves no message.
    """

    discovery_seconds: float = 10.0  #: duration of the discovery
    tap_seconds: float = 120.0  #: duration of the tap
    target_seconds: float = 20.0  #: from the end of the tap to the end of the target
    discovery_exit_status: int = 0  #: 0: the discovery succeeds
    discovery_description: str | None = None  #: error message of a failed discovery
    tap_exit_status: int = 0  #: 0: the tap succeeds
    tap_description: str | None = None  #: error message of a failed tap
    target_exit_status: int = 0  #: 0: the target succeeds
    target_description: str | None = None  #: error message of a failed target
    terminated: bool = False  #: Stitch kills the job at its end: null exit statuses with a completion time
    has_discovery: bool = True  #: False: the tap has no discovery, but ``discovery_seconds`` still pass
    #: The Import API permanently rejects the first batch of this stream, which makes the target fail.
    refused_stream: str | None = None
    rows: Mapping[str, int] = field(default_factory=dict)  #: by stream; overrides ``EmulatedStream.rows``
    flushes: Mapping[str, Sequence[Flush]] = field(default_factory=dict)  #: by stream; overrides the default
    prepare_seconds: float = 45.0  #: from a flush to the start of its load, unless ``flushes`` sets it
    load_seconds: float = 30.0  #: of the first stream; each further stream takes 10 s more, up to 40 s more
    load_errors: Mapping[str, LoadError] = field(default_factory=dict)  #: by stream, for all its batches
    log: LogPlan = field(default_factory=LogPlan)  #: content of the extraction log

    def __post_init__(self) -> None:
        phases = (self.discovery_seconds, self.tap_seconds, self.target_seconds)
        if min(phases) < 0:
            raise ValueError("A phase of a job cannot take less than 0 seconds.")
        if self.discovery_exit_status and not self.has_discovery:
            raise ValueError("A job without discovery cannot fail in discovery.")
        for stream, flushes in self.flushes.items():
            if any(not 0 <= flush.at <= sum(phases) for flush in flushes):
                raise ValueError(
                    f"A flush of stream {stream} is not within the job's {sum(phases):g} seconds."
                )
            for flush in flushes:
                _check_retries(self.log, flush.retries or 0)


@dataclass(frozen=True)
class CheckPlan:
    """The course of a connection check. If it fails, it has a non-zero ``discovery_exit_status`` and a
    message.

    Stitch does not document the checks of destinations. Here they have the same form.
    """

    seconds: float = 3.0  #: duration of the check
    discovery_exit_status: int = 0  #: 0: the discovery succeeds
    discovery_error_message: str | None = None  #: message of a failed check
