"""What a test can arrange: how streams, jobs, loads, logs and connection checks turn out.

Everything here is plain frozen data. All durations and offsets are seconds of Stitch's own (virtual) time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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

    The load is attempted ``prepare`` + ``load`` seconds after the flush.
    """

    at: float
    rows: int
    prepare: float = 45.0
    load: float = 30.0
    error: LoadError | None = None
    rejected: int = 0  #: of the rows, so many are rejected by the destination. That does not fail the load.


@dataclass(frozen=True)
class LogPlan:
    """What the extraction log of a job looks like."""

    available: bool = True  #: False: the log can't be had (404)
    replicated_markers: bool = True  #: ``replicated <N> records from "<stream>" endpoint``
    #: ``send-stream-record-count-impl <stream>``: at every flush, only at a stream's last one, or not at all.
    #: It is not documented whether a stream that is flushed twice has one such line or two.
    flush_markers: Literal["every", "last", "none"] = "every"
    exit_line: bool = True
    cut_after_lines: int | None = None  #: the log ends after so many lines and half of the next
    extra_lines: Sequence[str] = ()  #: put in before the tap's end, just as they are
    padding_bytes: int = 0  #: at least so many bytes of harmless lines are added, to make a long log


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
        for stream, flushes in self.flushes.items():
            if any(not 0 <= flush.at <= sum(phases) for flush in flushes):
                raise ValueError(f"A flush of {stream} is not within the job's {sum(phases):g} seconds.")


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
    #: Which name a load shows of a table whose schema is put before its name in the destination: that of the
    #: destination's table, or the source's.
    load_names: Literal["destination", "source"] = "destination"
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
