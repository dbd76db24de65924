"""Behavior of Stitch that its documentation does not define."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_stitch.emulator.values import ValueReader, hints_of


@dataclass(slots=True)  # slots prevent assignments to unknown names
class Quirks:
    """Undocumented or ambiguous behavior of Stitch.

    A client of Stitch must work with every allowed value of a field.

    The fields can be changed at any time.

    :raises ValueError: if a value in the constructor or in a later assignment is not allowed. The message
        contains the allowed values.
    """

    #: Whether the list of extractions contains running jobs, with a null completion time.
    list_running_jobs: bool = False
    #: Seconds from the end of a job until the list of extractions contains the job.
    listing_delay: float = 0.0
    #: Whether the log of a job is available while the job is running. If False, a request for the log returns
    #: 404 until the job has ended.
    partial_logs: bool = False
    #: How the API lists a stopped job: as terminated, or with the signal that ended the running phase.
    stopped_jobs: Literal["terminated", "signalled"] = "terminated"
    #: Seconds from the request to stop a job until the job ends.
    stop_seconds: float = 0.0
    #: The stream name that a load contains if ``include_schemas_in_destination_stream_name`` is set.
    #: ``target`` (the most likely value) is the name that the target sends (``public_orders``).
    #: ``destination`` is the name of the destination table (``public__orders``). ``source`` is the name of
    #: the source table (``orders``).
    load_names: Literal["target", "destination", "source"] = "target"
    #: Whether a batch that contains only a version message updates ``last_batch_loaded_at``.
    load_version_messages: bool = False
    #: The sort order of the loads that the API lists. Stitch's documentation mentions both sort orders.
    loads_order: Literal["stream_name", "stream_id"] = "stream_name"
    #: The field of an extraction that contains the name of the tap. Stitch's samples use ``source_type``, but
    #: its field table uses ``tap_name``.
    tap_field: Literal["source_type", "tap_name"] = "source_type"
    #: Whether an error response that consists of a string is JSON (in quotes) or plain text.
    string_errors: Literal["json", "text"] = "json"
    #: Whether the response to a request that creates or updates a connection contains the name of the
    #: connection check that the request started.
    name_checks_in_updates: bool = True
    #: Whether the responses to GET requests contain the name of the last connection check.
    name_checks_in_reads: bool = False
    #: The ``check_exit_status`` of a failed check. Stitch's sample contains null, but its table of fields
    #: contains 1.
    failed_check_exit_status: Literal[1] | None = None
    #: Whether Stitch starts a connection check when a user pauses or unpauses a source.
    checks_on_pause: bool = True
    #: Whether a source can be created or updated with a destination id. The documented list of arguments
    #: contains the destination id, but the documented error message does not mention it.
    accept_destination_id: bool = True
    #: Whether a source can be created with a name. A documented error message mentions the name, but the
    #: documented list of arguments does not contain it.
    accept_source_name: bool = False
    #: Whether Stitch pauses a source when an update changes its destination.
    pause_on_switch: bool = False
    #: Whether ``paused_at: null`` unpauses a source even if Stitch itself has paused it.
    unpause_system_pauses: bool = False
    #: Whether report cards show integer properties as integers and reject strings. The documentation calls
    #: the properties integers, but its sample report cards show strings of digits.
    integer_properties: bool = False
    #: Whether a boolean property rejects the strings ``true`` and ``false``.
    strict_booleans: bool = False
    #: Names of properties that can be set only once. Stitch does not document which properties can be set
    #: only once, or the error for a second value.
    immutable_properties: tuple[str, ...] = ()
    #: Whether a property that is not documented for the type is rejected.
    refuse_unknown_properties: bool = False
    #: When a destination becomes fully configured: after a successful connection check, or as soon as its
    #: form is complete.
    destination_configured: Literal["after_check", "after_form"] = "after_check"
    #: Whether a failed check resets a source to ``discover_schema`` and a destination to ``form``. If False,
    #: a fully configured source or destination stays fully configured.
    failed_check_resets_step: bool = False
    #: Whether ``current_step`` of a source is the position of the step. If False, the value of
    #: ``current_step`` is always 1, as in some samples.
    steps_by_position: bool = True
    #: Whether a source is fully configured only after a field has been selected in addition to the automatic
    #: fields.
    selection_needs_a_field: bool = False
    #: Whether selection rules without a documented error are enforced. Under these rules, a view requires key
    #: properties, and an incremental stream requires a replication key. A forced replication method cannot be
    #: changed, and a field can be selected only if its stream is selected.
    strict_selection: bool = False
    #: Whether the list of destinations contains deleted destinations.
    list_deleted_destinations: bool = False
    #: The type of the items in the list of Import API tokens: objects (since August 2021) or ids (before
    #: August 2021).
    import_tokens: Literal["objects", "ids"] = "objects"
    #: The place of the destination id in the Hook object. With ``created``, the id is at the top level, but
    #: only in the response to the request that creates the hook. With ``top``, the id is at the top level in
    #: all responses. With ``config``, the id is a string in ``config``.
    hook_destination: Literal["created", "top", "config"] = "created"
    #: Whether the Custom email object contains ``modified_at``. Stitch's table of fields contains
    #: ``modified_at``, but no sample does.
    email_modified_at: bool = False
    #: The source name that a webhook contains as ``integration_name``.
    webhook_names: Literal["name", "display_name"] = "name"
    #: Whether webhook fields that do not apply are absent or null.
    webhook_blanks: Literal["absent", "null"] = "absent"
    #: Seconds until a failed webhook is sent again.
    webhook_retry_seconds: float = 60.0
    #: The prefix of new accounts' access tokens. The prefix is ``at_`` in one documented sample and ``ac_``
    #: in the rest of the documentation.
    token_prefix: Literal["at_", "ac_"] = "at_"  # noqa: S105 - the prefix of a token is not secret
    #: Whether responses from API v3 declare the character set ISO-8859-1, as in one documented sample.
    v3_charset: bool = False
    #: Whether Stitch refuses to start a job that cannot succeed, because the source is not fully configured
    #: or has no destination. Stitch never starts a job for a source without extractions.
    reject_unready_starts: bool = True
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
