"""Behaviour that Stitch's documentation leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_stitch.emulator.values import ValueReader, hints_of


@dataclass(slots=True)  # so that assigning to an unknown name is an error
class Quirks:
    """Undocumented or ambiguous behaviour of Stitch. A client must work with every value.

    The fields can be changed at any time.

    :raises ValueError: if a value is not allowed, also when a field is changed. The message contains what is.
    """

    #: Whether the list of extractions also contains running jobs, with a null completion time.
    list_running_jobs: bool = False
    #: Seconds from the end of a job until it appears in the list of extractions.
    listing_delay: float = 0.0
    #: Whether the log of a running job is available as far as it has been written. If not, it is a 404.
    partial_logs: bool = False
    #: How a stopped job is listed: as terminated, or with the signal that ended its phase.
    stopped_jobs: Literal["terminated", "signalled"] = "terminated"
    #: Seconds from the request to stop a job until the job ends.
    stop_seconds: float = 0.0
    #: The stream name in a load if ``include_schemas_in_destination_stream_name`` is set: the name that the
    #: target sends (``public_orders``), which is most likely; the name of the destination table
    #: (``public__orders``); or the name of the source table (``orders``).
    load_names: Literal["target", "destination", "source"] = "target"
    #: Whether a batch that contains only a version message updates ``last_batch_loaded_at``.
    load_version_messages: bool = False
    #: The sort order of loads. The documentation names both.
    loads_order: Literal["stream_name", "stream_id"] = "stream_name"
    #: The field of an extraction that names the tap. Stitch's samples use ``source_type``, its field table
    #: ``tap_name``.
    tap_field: Literal["source_type", "tap_name"] = "source_type"
    #: Whether an error that is a string is sent as JSON (in quotes) or as plain text.
    string_errors: Literal["json", "text"] = "json"
    #: Whether the response to a creation or update contains the name of the connection check it started.
    name_checks_in_updates: bool = True
    #: Whether the responses to read requests also contain the name of the last connection check.
    name_checks_in_reads: bool = False
    #: The ``check_exit_status`` of a failed check: null in the sample, 1 in the field table.
    failed_check_exit_status: Literal[1] | None = None
    #: Whether pausing and unpausing a source also runs a connection check.
    checks_on_pause: bool = True
    #: Whether a source can be created or updated with a destination id. The list of arguments includes it,
    #: the error message does not.
    accept_destination_id: bool = True
    #: Whether a source can be created with a name. An error message mentions it, the list of arguments does
    #: not.
    accept_source_name: bool = False
    #: Whether Stitch pauses a source when an update changes its destination.
    pause_on_switch: bool = False
    #: Whether ``paused_at: null`` also unpauses a source that Stitch itself has paused.
    unpause_system_pauses: bool = False
    #: Whether report cards show integer properties as integers and reject strings. The documentation calls
    #: the properties integers, but its sample report cards show strings of digits.
    integer_properties: bool = False
    #: Whether a boolean property accepts only booleans, and not the strings ``true`` and ``false``.
    strict_booleans: bool = False
    #: Names of properties that can be set only once. Stitch documents neither the names nor the error.
    immutable_properties: tuple[str, ...] = ()
    #: Whether a property that is not documented for the type is rejected.
    refuse_unknown_properties: bool = False
    #: When a destination is fully configured: after a successful connection check, or as soon as its form is
    #: complete.
    destination_configured: Literal["after_check", "after_form"] = "after_check"
    #: Whether a failed check sets a source back to ``discover_schema``, and a destination back to ``form``.
    #: If not, a connection that was configured once stays configured.
    failed_check_steps_back: bool = False
    #: Whether ``current_step`` of a source is the position of the step. Some samples always show 1.
    steps_by_position: bool = True
    #: Whether a source is fully configured only once a field was selected in addition to the automatic ones.
    selection_needs_a_field: bool = False
    #: Whether the selection rules without a documented error are enforced: a view needs key properties, an
    #: incremental stream needs a replication key, a forced replication method cannot be changed, and a field
    #: can be selected only if its stream is selected.
    strict_selection: bool = False
    #: Whether the list of destinations contains deleted ones.
    list_deleted_destinations: bool = False
    #: The items in the list of Import API tokens: objects (since August 2021) or ids (before).
    import_tokens: Literal["objects", "ids"] = "objects"
    #: Where a hook contains its destination id: at the top level, but only in the response to its creation;
    #: always at the top level; or always as a string in ``config``.
    hook_destination: Literal["created", "top", "config"] = "created"
    #: Whether custom e-mail addresses have ``modified_at``. The field table contains it, no sample does.
    email_modified_at: bool = False
    #: Which name of the source a webhook contains as ``integration_name``.
    webhook_names: Literal["name", "display_name"] = "name"
    #: Whether webhook fields that do not apply are absent or null.
    webhook_blanks: Literal["absent", "null"] = "absent"
    #: Seconds until a failed webhook is sent again.
    webhook_retry_seconds: float = 60.0
    #: The prefix of the tokens of new accounts: ``at_`` in the sample, ``ac_`` elsewhere.
    token_prefix: Literal["at_", "ac_"] = "at_"  # noqa: S105 - a prefix is not a token
    #: Whether responses of API v3 declare the character set ISO-8859-1, as one sample does.
    v3_charset: bool = False
    #: Whether a start is rejected if its job could not succeed, because the source is not fully configured or
    #: has no destination. (A start of a source without extractions is always rejected.)
    refuse_hopeless_starts: bool = True
    #: Whether a 429 response (see ``enforce_limit``) has a ``Retry-After`` header.
    retry_after: bool = True
    #: Seconds until the signed URL of a log expires.
    log_url_seconds: float = 3600.0

    def __setattr__(self, name: str, value: Any) -> None:
        reader = ValueReader()
        hint = hints_of(Quirks).get(name)
        if hint is not None:
            value = reader.read(value, hint, f"Quirks.{name}")
        if reader.problems:
            raise ValueError(reader.problems[0])
        object.__setattr__(self, name, value)
