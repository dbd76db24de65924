"""What a test can arrange: how streams, jobs, loads, logs and connection checks turn out.

Everything here is plain frozen data. All durations and offsets are seconds of Stitch's own (virtual) time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: How the runner writes a counter: ``METRIC: {...}``, ``METRIC Point(...)``, or
#: ``replicated <N> records from "<endpoint>" endpoint``.
CounterForm = Literal["json", "point", "sentence"]
Target = Literal["target-stitch", "avro"]

_USUAL_FIELDS: Mapping[str, str] = {"id": "automatic", "updated_at": "automatic", "name": "available"}


@dataclass(frozen=True, slots=True)
class EmulatedStream:
    """A stream of an emulated source. Its key in ``add_source(streams=...)`` is its default name."""

    rows: int = 0  #: rows that each job extracts; 0 means that the stream has nothing new and gets no load
    tap_stream_id: str | None = None  #: None: the key
    stream_name: str | None = None  #: the table's name; None: the key
    selected: bool | None = True  #: None: never selected, False: deselected
    schema_name: str | None = None  #: databases only
    database_name: str | None = None  #: databases only
    is_view: bool = False
    flushes: int = 1  #: in how many batches the rows of a job reach the pipeline
    primary_key: tuple[str, ...] = ("id",)
    replication_method: str = "INCREMENTAL"
    #: field name -> inclusion: ``automatic``, ``available`` or ``unsupported``
    fields: Mapping[str, str] = field(default_factory=lambda: _USUAL_FIELDS)

    def __post_init__(self) -> None:
        if self.rows < 0 or self.flushes < 1:
            raise ValueError("A stream has 0 rows or more, in one flush or more.")


@dataclass(frozen=True)
class LoadError:
    """The destination refuses a batch with this message. It loads ``heals_after`` seconds later, or never.

    As Stitch keeps rows for 30 days, what would load later than that after its flush never does.
    """

    message: str = "establish a connection to your data warehouse"
    heals_after: float | None = None


@dataclass(frozen=True)
class Flush:
    """One batch of a stream: ``rows`` reach the pipeline ``at`` seconds after the job's start.

    The load is attempted ``prepare`` + ``load`` seconds after the flush. A batch of 0 rows contains only a
    version message: ``target-stitch`` writes its lines, the Avro target writes none, and nothing is loaded.
    """

    at: float
    rows: int
    prepare: float = 45.0
    load: float = 30.0
    error: LoadError | None = None
    rejected: int = 0  #: of the rows, so many are rejected by the destination. That does not fail the load.
    requests: int | None = None  #: in how many requests the batch is sent. None: as the ``LogPlan`` has it.
    retries: int | None = None  #: how often the last request is sent again. None: as the ``LogPlan`` has it.

    def __post_init__(self) -> None:
        if self.rows < 0 or (self.requests is not None and self.requests < 1):
            raise ValueError("A batch has 0 rows or more, in one request or more.")


@dataclass(frozen=True)
class LogPlan:
    """What the extraction log of a job contains.

    The forms of the lines are those of the open-source ``target-stitch``, or of the Avro target.
    """

    available: bool = True  #: False: the log can't be had (404)
    #: None: the Avro target for version-2 databases (types ``hp-*``), ``target-stitch`` for all others.
    target: Target | None = None
    #: The version of ``target-stitch``, 1.0 to 4.0. Of a line such as "1.8" the last known release is used.
    target_version: str = "4.0"
    #: The first line of ``target-stitch`` 3.0 and later: some versions write ``Using turbo_boost_factor``.
    first_line: Literal["batch_size_preferences", "turbo_boost_factor"] = "batch_size_preferences"
    #: Which streams the tap counts: all, none, or only those in ``counted_streams``, as some taps count
    #: only parent streams. None: as the tap of the source's type does.
    tap_counters: Literal["all", "parents", "none"] | None = None
    counted_streams: Sequence[str] = ()  #: the streams that ``tap_counters="parents"`` counts
    #: Counters of endpoints that are no streams: endpoint -> count.
    other_counters: Mapping[str, int] = field(default_factory=dict)
    #: How the runner writes the tap's counters: as it is (``json``), as a ``point``, or as a sentence. What
    #: names no endpoint fits no sentence and is written as a point.
    tap_counter_form: CounterForm = "sentence"
    target_counter_form: CounterForm = "json"  #: how the runner writes the target's counters
    requests_per_batch: int = 1  #: in how many requests each batch is sent
    retries: int = 0  #: how often the last request of each batch is sent again, because it failed
    #: So many seconds before its request begins, a batch is serialized, because an earlier request is busy.
    serialized_ahead: float = 0.0
    #: The runner crashes at the end: a bare traceback in place of the target's last line and the exit line.
    runner_crashes: bool = False
    #: Avro target: ``send-stream-record-count-impl <stream>`` at every flush, only at a stream's last one, or
    #: not at all. It is not documented whether a stream that is flushed twice has one such line or two.
    flush_markers: Literal["every", "last", "none"] = "every"
    exit_line: bool = True
    cut_after_lines: int | None = None  #: the log ends after so many lines and half of the next
    extra_lines: Sequence[str] = ()  #: put in before the target's last line, just as they are
    padding_bytes: int = 0  #: at least so many bytes of harmless lines are added, to make a long log

    def __post_init__(self) -> None:
        if self.requests_per_batch < 1 or self.serialized_ahead < 0:
            raise ValueError("A batch has one request or more, and is serialized before it is sent.")
        release_of(self.target_version)
        _check_retries(self, self.retries)


#: A request is sent again after 1, 2, 4, ... seconds, which are 127 s in all (1.x) or 15 s (later).
MAX_RETRIES_OF_VERSION_1 = 7
MAX_RETRIES = 4

#: Versions of ``target-stitch`` whose lines are known, by the first two numbers.
_RELEASES: Mapping[str, str] = {
    "1.8": "1.8.1",
    "2.0": "2.0.5",
    "3.0": "3.0.3",
    "3.1": "3.1.0",
    "3.2": "3.2.1",
    "4.0": "4.0.3",
}


def _check_retries(log: LogPlan, retries: int) -> None:
    """Check that this version of ``target-stitch`` sends a request so often again before it gives up."""
    longest = MAX_RETRIES_OF_VERSION_1 if release_of(log.target_version)[0] == 1 else MAX_RETRIES
    if not 0 <= retries <= longest:
        raise ValueError(f"target-stitch {log.target_version} sends a request again up to {longest} times.")


def release_of(version: str) -> tuple[int, int, int]:
    """Return the release of ``target-stitch`` that a version such as "4.0" or "3.0.1" means.

    :raises ValueError: if the version is not between 1.0 and 4.0, whose log lines are known.
    """
    parts = _RELEASES.get(version, version).split(".")
    if not 2 <= len(parts) <= 3 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"{version!r} is not a version of target-stitch. Use one such as '4.0' or '3.0.1'.")
    major, minor, patch = map(int, [*parts, "0"][:3])
    if not (1, 0) <= (major, minor) <= (4, 0):
        raise ValueError(f"The log lines of target-stitch {version} are not known. Use a version up to 4.0.")
    return major, minor, patch


@dataclass(frozen=True)
class JobPlan:
    """How a replication job goes. The default takes 150 s and loads 75 to 115 s after each flush.

    The phases follow one another: discovery, then the tap, and the target ends ``target_seconds`` after the
    tap. A failed discovery ends the job. Whatever was flushed is loaded, however the job ends. A job longer
    than 24 hours is terminated by Stitch. A failing phase without a description gets a usual one, unless its
    code is negative (a process killed by a signal leaves no message).
    """

    discovery_seconds: float = 10.0
    tap_seconds: float = 120.0
    target_seconds: float = 20.0
    discovery_exit_status: int = 0
    discovery_description: str | None = None
    tap_exit_status: int = 0
    tap_description: str | None = None
    target_exit_status: int = 0
    target_description: str | None = None
    terminated: bool = False  #: Stitch kills it at the end: null exit statuses, completion time set
    has_discovery: bool = True  #: False: the tap has no discovery. ``discovery_seconds`` pass all the same.
    #: The Import API refuses the first batch of this stream for good. The target fails, and the job ends.
    refused_stream: str | None = None
    rows: Mapping[str, int] = field(default_factory=dict)  #: by stream, in place of the stream's own number
    flushes: Mapping[str, Sequence[Flush]] = field(default_factory=dict)  #: by stream, in place of the usual
    prepare_seconds: float = 45.0  #: from a flush to the load's begin, where `flushes` says nothing else
    load_seconds: float = 30.0  #: the first stream's load; each further stream takes 10 s more, up to 40 s
    load_errors: Mapping[str, LoadError] = field(default_factory=dict)  #: by stream, for each of its batches
    log: LogPlan = field(default_factory=LogPlan)

    def __post_init__(self) -> None:
        phases = (self.discovery_seconds, self.tap_seconds, self.target_seconds)
        if min(phases) < 0:
            raise ValueError("A phase of a job can't take less than 0 seconds.")
        if self.discovery_exit_status and not self.has_discovery:
            raise ValueError("A job without discovery can't fail in discovery.")
        for stream, flushes in self.flushes.items():
            if any(not 0 <= flush.at <= sum(phases) for flush in flushes):
                raise ValueError(f"A flush of {stream} is not within the job's {sum(phases):g} seconds.")
            for flush in flushes:
                _check_retries(self.log, flush.retries or 0)


@dataclass(frozen=True)
class CheckPlan:
    """How a connection check goes. A failed one has a non-zero ``discovery_exit_status`` and a message.

    The check of a destination has the same form: no page of Stitch's reference shows one.
    """

    seconds: float = 3.0
    discovery_exit_status: int = 0
    discovery_error_message: str | None = None


@dataclass(slots=True)  # so that a name that is none is an error
class Quirks:
    """What Stitch's documentation leaves open, and a client must bear either way. May be changed later."""

    #: The list of extractions also shows a job that still runs, with its completion time null.
    list_running_jobs: bool = False
    #: Seconds from a job's end until the list of extractions shows it.
    listing_delay: float = 0.0
    #: The log of a running job can be had, as far as it goes. Otherwise it is 404.
    partial_logs: bool = False
    #: How a job that somebody stopped is listed: as terminated, or with the signal that ended its phase.
    stopped_jobs: Literal["terminated", "signalled"] = "terminated"
    #: Seconds until a job that was stopped has ended.
    stop_seconds: float = 0.0
    #: The name that a load shows if ``include_schemas_in_destination_stream_name`` is set: the name that the
    #: target sends (``public_orders``), which is very likely; the destination table's (``public__orders``);
    #: or the source table's (``orders``).
    load_names: Literal["target", "destination", "source"] = "target"
    #: Whether a batch that contains only a version message moves ``last_batch_loaded_at``.
    load_version_messages: bool = False
    #: Loads are said to be in the order of ``stream_name`` in one place, and of ``stream_id`` in another.
    loads_order: Literal["stream_name", "stream_id"] = "stream_name"
    #: The tap's field of an extraction: samples say ``source_type``, the field table ``tap_name``.
    tap_field: Literal["source_type", "tap_name"] = "source_type"
    #: Whether a string error is JSON (in quotes) or bare text.
    string_errors: Literal["json", "text"] = "json"
    #: Whether the answer to a creation or update names the connection check that it started.
    name_checks_in_updates: bool = True
    #: Whether sources and destinations name their last connection check when they are just read, too.
    name_checks_in_reads: bool = False
    #: The ``check_exit_status`` of a failed check: null in the sample, 1 in the field table.
    failed_check_exit_status: Literal[1] | None = None
    #: Whether pausing and unpausing, too, runs a connection check.
    checks_on_pause: bool = True
    #: Whether a creation or update may name a destination, as the list of arguments says, or not, as the
    #: error says.
    accept_destination_id: bool = True
    #: Whether a creation may name the source, as one error has it; the list of arguments does not.
    accept_source_name: bool = False
    #: Whether Stitch pauses a source whose update names another destination.
    pause_on_switch: bool = False
    #: Whether ``paused_at: null`` also takes back a pause by Stitch itself.
    unpause_system_pauses: bool = False
    #: Whether report cards show properties that the documentation calls integers as integers. Then a string
    #: is refused. The report cards that it prints show strings of digits.
    integer_properties: bool = False
    #: Whether a property that is a boolean in the report card must be sent as one. Otherwise the strings
    #: ``true`` and ``false`` are accepted too.
    strict_booleans: bool = False
    #: Names of properties that can be set once only. Which ones these are is not documented, nor the answer
    #: to a change.
    immutable_properties: tuple[str, ...] = ()
    #: Whether a property that the type does not document is refused.
    refuse_unknown_properties: bool = False
    #: When a destination is fully configured: after a good connection check, or as soon as its form is
    #: complete.
    destination_configured: Literal["after_check", "after_form"] = "after_check"
    #: Whether a failed check takes a source back to ``discover_schema``, or a destination back to ``form``.
    #: Otherwise a connection that was configured once stays so.
    failed_check_steps_back: bool = False
    #: Whether ``current_step`` of a source is the step's position; some samples show 1 always.
    steps_by_position: bool = True
    #: Whether a source is fully configured only when a field, too, was selected beside those that come by
    #: themselves.
    selection_needs_a_field: bool = False
    #: Whether the rules of selection that have no documented error are enforced with one: a view needs keys,
    #: an incremental stream a replication key, a prescribed method stays, fields need their stream.
    strict_selection: bool = False
    #: Whether the list of destinations shows deleted ones.
    list_deleted_destinations: bool = False
    #: The list of Import API tokens: objects since August 2021, bare ids before.
    import_tokens: Literal["objects", "ids"] = "objects"
    #: Where a hook names its destination: at the top of the answer to its creation only, always at the top,
    #: or always as text within ``config``.
    hook_destination: Literal["created", "top", "config"] = "created"
    #: Whether custom e-mail addresses carry ``modified_at``, as the field table says and no sample shows.
    email_modified_at: bool = False
    #: What webhooks call ``integration_name``.
    webhook_names: Literal["name", "display_name"] = "name"
    #: Fields of a webhook that do not apply.
    webhook_blanks: Literal["absent", "null"] = "absent"
    #: Seconds until a webhook that failed is tried again.
    webhook_retry_seconds: float = 60.0
    #: How the tokens of new accounts begin: ``at_`` in the sample, ``ac_`` elsewhere.
    token_prefix: Literal["at_", "ac_"] = "at_"  # noqa: S105 - a prefix is no token
    #: Whether answers of the third version say that they are ISO-8859-1, as one sample does.
    v3_charset: bool = False
    #: Whether a start that can come to nothing is refused: a source not fully configured, an account without
    #: a destination. (One that has no extraction at all is always refused.)
    refuse_hopeless_starts: bool = True
    #: Whether a refusal for too many requests (``enforce_limit``) carries ``Retry-After``.
    retry_after: bool = True
    #: Seconds for which the address of a log is good.
    log_url_seconds: float = 3600.0
