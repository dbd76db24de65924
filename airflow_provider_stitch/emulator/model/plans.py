"""Plans, with which a test determines streams, jobs, loads, logs and connection checks.

All classes are frozen dataclasses. All durations and offsets are in virtual seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: The runner writes row counters in three formats: ``METRIC: {...}``, ``METRIC Point(...)``, or
#: ``replicated <N> records from "<endpoint>" endpoint``.
CounterForm = Literal["json", "point", "sentence"]
Target = Literal["target-stitch", "avro"]

_DEFAULT_FIELDS: Mapping[str, str] = {"id": "automatic", "updated_at": "automatic", "name": "available"}


@dataclass(frozen=True, slots=True)
class EmulatedStream:
    """A stream of an emulated source.

    By default, the name of the stream is its key in ``add_source(streams=...)``.
    """

    rows: int = 0  #: number of rows that each job extracts; if 0, the stream is not loaded
    tap_stream_id: str | None = None  #: the tap's id for the stream; if None, the key in ``streams``
    stream_name: str | None = None  #: name of the table; if None, the key in ``streams``
    selected: bool | None = True  #: whether the stream is selected, or None if it was never selected
    schema_name: str | None = None  #: name of the schema, for databases only
    database_name: str | None = None  #: name of the database, for databases only
    is_view: bool = False  #: whether the stream is a view, for databases only
    flushes: int = 1  #: number of batches that contain the rows of a job
    primary_key: tuple[str, ...] = ("id",)  #: names of the primary key fields
    #: Replication method: ``INCREMENTAL``, ``FULL_TABLE`` or ``LOG_BASED``.
    replication_method: str = "INCREMENTAL"
    #: The inclusion of each field, by name: ``automatic``, ``available`` or ``unsupported``.
    fields: Mapping[str, str] = field(default_factory=lambda: _DEFAULT_FIELDS)

    def __post_init__(self) -> None:
        if self.rows < 0 or self.flushes < 1:
            raise ValueError("A stream must have at least 0 rows and at least one flush.")


@dataclass(frozen=True)
class LoadError:
    """An error in the load of a batch.

    If ``heals_after`` is set, the batch is loaded this number of seconds after the error.

    Stitch stores rows for 30 days. A batch that has not been loaded within 30 days is never loaded.
    """

    message: str = "establish a connection to your data warehouse"  #: error message of the destination
    heals_after: float | None = None  #: seconds until the batch is loaded; if None, the batch is never loaded


@dataclass(frozen=True)
class Flush:
    """A batch that reaches the pipeline ``at`` seconds after the start of the job.

    The load is attempted ``prepare`` + ``load`` seconds after the flush. A batch with 0 rows contains only a
    version message and is not loaded. ``target-stitch`` logs such a batch, but the Avro target does not.
    """

    #: Seconds from the start of the job to the flush.
    at: float
    rows: int  #: number of rows in the batch
    prepare: float = 45.0  #: seconds from the flush to the start of the load
    load: float = 30.0  #: duration of the load in seconds
    error: LoadError | None = None  #: error of the load; if None, the load succeeds
    rejected: int = 0  #: number of rows that the destination rejects; the load still succeeds
    requests: int | None = None  #: number of requests for the batch; if None, the number in the ``LogPlan``
    #: Number of retries of the last request; if None, the number in the ``LogPlan``.
    retries: int | None = None

    def __post_init__(self) -> None:
        if self.rows < 0 or (self.requests is not None and self.requests < 1):
            raise ValueError("A batch must have at least 0 rows and at least one request.")
        if not 0 <= self.rejected <= self.rows:
            raise ValueError(f"The number of rejected rows of a batch must be from 0 to {self.rows}.")


@dataclass(frozen=True)
class LogPlan:
    """The content of a job's extraction log.

    The lines have the format of the open-source ``target-stitch`` or of the Avro target.
    """

    available: bool = True  #: whether the log is available; if not, a request for the log returns 404
    #: The target that writes the log. If None, version-2 databases (types ``hp-*``) use the Avro target, and
    #: all other sources use ``target-stitch``.
    target: Target | None = None
    #: The version of ``target-stitch``, from 1.0 to 4.0. A version such as "1.8" stands for its last known
    #: release.
    target_version: str = "4.0"
    #: The name of the setting in the first line of ``target-stitch`` 3.0 and later. Different versions of
    #: ``target-stitch`` log different settings.
    first_line: Literal["batch_size_preferences", "turbo_boost_factor"] = "batch_size_preferences"
    #: The streams for which the tap writes row counters. With ``parents``, the tap writes row counters only
    #: for ``counted_streams``. Some real taps count only the rows of parent streams. If None, the source type
    #: determines these streams.
    tap_counters: Literal["all", "parents", "none"] | None = None
    counted_streams: Sequence[str] = ()  #: streams with row counters if ``tap_counters`` is ``parents``
    #: Values of additional row counters, by endpoint, for endpoints that are not streams.
    other_counters: Mapping[str, int] = field(default_factory=dict)
    #: The format of the tap's row counters. With ``sentence``, a counter without an endpoint is written as a
    #: ``point``.
    tap_counter_form: CounterForm = "sentence"
    target_counter_form: CounterForm = "json"  #: the format of the target's row counters
    requests_per_batch: int = 1  #: number of requests that send each batch
    retries: int = 0  #: number of retries of the last request in each batch
    #: Seconds from the serialization of a batch to its request, which has to wait for an earlier request.
    serialized_ahead: float = 0.0
    #: Whether the runner crashes at the end of the job. If True, a traceback replaces the target's last line
    #: and the exit line.
    runner_crashes: bool = False
    #: When the Avro target writes ``send-stream-record-count-impl <stream>``: after every flush, after the
    #: last flush of a stream, or never. Stitch does not document how many of these lines a log contains if a
    #: stream has two flushes.
    flush_markers: Literal["every", "last", "none"] = "every"
    exit_line: bool = True  #: whether the log contains the exit line
    cut_after_lines: int | None = None  #: number of complete lines before the log is cut
    extra_lines: Sequence[str] = ()  #: additional lines before the target's last line
    padding_bytes: int = 0  #: minimum total size of the irrelevant lines that make the log long

    def __post_init__(self) -> None:
        if self.requests_per_batch < 1 or self.serialized_ahead < 0:
            raise ValueError("A batch must have at least one request and be serialized before it is sent.")
        release_of(self.target_version)
        _check_retries(self, self.retries)


#: A request is retried after 1, 2, 4, ... seconds. All delays of a request together take up to 127 s in
#: version 1 and up to 15 s in later versions.
MAX_RETRIES_OF_VERSION_1 = 7
MAX_RETRIES = 4

#: The last known release for each version of ``target-stitch``.
_RELEASES: Mapping[str, str] = {
    "1.8": "1.8.1",
    "2.0": "2.0.5",
    "3.0": "3.0.3",
    "3.1": "3.1.0",
    "3.2": "3.2.1",
    "4.0": "4.0.3",
}


def _check_retries(log: LogPlan, retries: int) -> None:
    """Raise ValueError if this version of ``target-stitch`` makes fewer retries of a request."""
    limit = MAX_RETRIES_OF_VERSION_1 if release_of(log.target_version)[0] == 1 else MAX_RETRIES
    if not 0 <= retries <= limit:
        raise ValueError(f"target-stitch {log.target_version} retries a request at most {limit} times.")


def release_of(version: str) -> tuple[int, int, int]:
    """Return the release of ``target-stitch`` for a version such as "4.0" or "3.0.1".

    :raises ValueError: if the version is not between 1.0 and 4.0. The log lines of other versions are not
        known.
    """
    parts = _RELEASES.get(version, version).split(".")
    if not 2 <= len(parts) <= 3 or not all(part.isdecimal() for part in parts):
        raise ValueError(
            f"{version!r} is not a version of target-stitch. Use a version such as '4.0' or '3.0.1'."
        )
    major, minor, patch = map(int, [*parts, "0"][:3])
    if not (1, 0) <= (major, minor) <= (4, 0):
        raise ValueError(
            f"The log lines of target-stitch {version} are not known. Use a version from 1.0 to 4.0."
        )
    return major, minor, patch


@dataclass(frozen=True)
class JobPlan:
    """The plan of a replication job.

    By default, the job takes 150 s, and each batch is loaded 75 to 115 s after its flush.

    The tap starts after the discovery, and the target ends ``target_seconds`` after the tap. A failed
    discovery ends the job. Flushed rows are loaded even if the job fails. Stitch terminates a job after 24
    hours.

    If a phase fails and its plan has no description, the extraction and the log contain a default
    description. A phase with a negative exit status has no default description, because a process that was
    killed by a signal writes no message.
    """

    discovery_seconds: float = 10.0  #: duration of the discovery in seconds
    tap_seconds: float = 120.0  #: duration of the tap in seconds
    target_seconds: float = 20.0  #: seconds from the end of the tap to the end of the target
    discovery_exit_status: int = 0  #: exit status of the discovery; 0 if it succeeds
    discovery_description: str | None = None  #: error message of a failed discovery
    tap_exit_status: int = 0  #: exit status of the tap; 0 if it succeeds
    tap_description: str | None = None  #: error message of a failed tap
    target_exit_status: int = 0  #: exit status of the target; 0 if it succeeds
    target_description: str | None = None  #: error message of a failed target
    #: Whether Stitch terminates the job at its planned end; if so, all exit statuses are null.
    terminated: bool = False
    #: Whether the job has a discovery. If not, the tap still starts after ``discovery_seconds``.
    has_discovery: bool = True
    #: The stream whose first batch the Import API permanently rejects, so that the target fails.
    refused_stream: str | None = None
    #: Number of rows to extract from each stream, instead of ``EmulatedStream.rows``.
    rows: Mapping[str, int] = field(default_factory=dict)
    #: Batches of each stream, instead of the default batches.
    flushes: Mapping[str, Sequence[Flush]] = field(default_factory=dict)
    #: Seconds from a flush to the start of its load, for batches that are not in ``flushes``.
    prepare_seconds: float = 45.0
    #: Duration of each load of the first stream, in seconds. Loads of each further stream take 10 s longer
    #: than loads of the previous stream, up to a difference of 40 s.
    load_seconds: float = 30.0
    #: Load errors by stream. A load error applies to all batches of its stream.
    load_errors: Mapping[str, LoadError] = field(default_factory=dict)
    log: LogPlan = field(default_factory=LogPlan)  #: content of the job's extraction log

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
    """The plan of a connection check.

    To plan a failed check, set a non-zero ``discovery_exit_status`` and a message.

    Stitch does not document the checks of destinations. The emulator uses the same check format for sources
    and destinations.
    """

    seconds: float = 3.0  #: duration of the connection check in seconds
    discovery_exit_status: int = 0  #: exit status of the discovery; 0 if it succeeds
    discovery_error_message: str | None = None  #: error message of a failed connection check
