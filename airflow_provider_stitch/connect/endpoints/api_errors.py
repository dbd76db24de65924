"""Map Stitch's documented errors to subclasses of StitchError.

The table `_RULES` maps the beginning of an error message to an error class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_stitch.connect.errors import (
    DeletedSource,
    EmailInUse,
    InvalidProperties,
    JobAlreadyRunning,
    JobNotStarted,
    LimitReached,
    NameInUse,
    NotInPlan,
    StitchBadRequest,
    StitchError,
    StitchNotFound,
    StitchUnauthorized,
    UnexpectedResponse,
    UnknownDestination,
    UnknownSource,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects.json import compact_json, one_line, replace_surrogates
from airflow_provider_stitch.connect.objects.report_cards import ReportCard
from airflow_provider_stitch.connect.transport.response import error_from_response

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.transport.response import Response

MAX_SCHEMA_LENGTH = 200  #: maximum length of a property's schema in an error message, in characters


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """The subject of a request, which determines the class and the message of errors."""

    subject: str  #: the subject as shown in error messages, such as `source 310442`
    not_found: type[StitchError] = StitchNotFound  #: the error to raise if the subject does not exist
    hint: str = "Check the id, and that the access token belongs to the right account."
    source_id: int | None = None
    ids: Mapping[str, int | str] = field(default_factory=dict)  #: the ids in the request's path
    #: The error message for status 401 or 403 if the status does not concern the access token.
    unauthorized: str | None = None


def api_error(response: Response, context: ErrorContext | None) -> StitchError:
    """Return the error for an unsuccessful response.

    Source: Stitch Connect API, the documented errors of each endpoint.
    """
    error = _documented_error(response, context)
    if error is None:
        error = error_from_response(response)
    error.source_id = context.source_id if context else None
    # Stitch rarely rejects a GET request for an existing object, so the error should be confirmed by a second
    # request.
    is_read = response.request_line.startswith("GET ")
    error.needs_confirmation = error.needs_confirmation or is_read or not _is_documented(response)
    return error


def _is_documented(response: Response) -> bool:
    """Return whether an error has a form that Stitch documents.

    A proxy is unlikely to send an error in a documented form.
    """
    if response.status == 401 or response.error_type is not None:
        return True
    return any(re.match(each.pattern, response.message, re.IGNORECASE) for each in _RULES)


def start_error(response: Response, context: ErrorContext) -> StitchError | None:
    """Return the error if Stitch did not start a job, or None if the job was started.

    The status code alone is not sufficient, because it is 200 even if a job is already running.

    Source: Stitch Connect API, "Start a replication job" (errors).
    """
    source_id = context.source_id
    prefix = f"No job of source {source_id} was started ({response.request_line}, HTTP {response.status})"
    error = response.body.get("error") if isinstance(response.body, dict) else None
    if response.ok and error is None:
        return None
    if response.error_type == "already_running":
        return JobAlreadyRunning(
            f"{prefix}: one is already running. Wait until it ends, or stop it. "
            f"Stitch's message: {response.message}",
            source_id=source_id,
            responded_at=response.responded_at,
        )
    if response.is_invalid_source and "deleted" in response.message.lower():
        return DeletedSource(
            f"{prefix}: the source is deleted. Use the one that replaced it. "
            f"Stitch's message: {response.message}",
            source_id=source_id,
        )
    if response.is_invalid_source or response.status == 404:
        return api_error(response, context)
    if error is None:
        bad_request = StitchBadRequest(
            f"{prefix}. Check the source in the Stitch app, then try again. "
            f"Stitch's message: {response.message}",
            source_id=source_id,
        )
        bad_request.needs_confirmation = not _is_documented(response)
        return bad_request
    return JobNotStarted(
        f"{prefix}, for a reason that Stitch does not document. Check the source in the Stitch app, then "
        f"try again. Stitch's message: {response.message}",
        source_id=source_id,
    )


def _documented_error(response: Response, context: ErrorContext | None) -> StitchError | None:
    prefix = f"{response.request_line} (HTTP {response.status})"
    if response.status in (401, 403) and context and context.unauthorized:
        return StitchUnauthorized(f"{prefix}: {context.unauthorized}")
    if response.status not in (400, 404):
        return None
    rule = next((each for each in _RULES if re.match(each.pattern, response.message, re.IGNORECASE)), None)
    # If Stitch responds to a GET request with 400, the subject of the request does not exist.
    if context and (
        response.status == 404 or response.request_line.startswith("GET ") or _is_not_found(response)
    ):
        return context.not_found(
            f"{prefix}: there is no {context.subject}. {context.hint} Stitch's message: {response.message}"
        )
    if rule is None:
        return None
    if rule.error_class is InvalidProperties:
        return _invalid_properties(response, prefix)
    return rule.error_class(f"{prefix}: {rule.meaning} Stitch's message: {response.message}")


def _is_not_found(response: Response) -> bool:
    return response.error_type in ("NotFound", "InvalidId", "invalid_source")


def _invalid_properties(response: Response, prefix: str) -> InvalidProperties:
    """Return an error that contains the schema of each invalid property.

    The schemas are taken from the report card in the response.
    """
    data = response.body.get("data") if isinstance(response.body, Mapping) else None
    data = data if isinstance(data, Mapping) else {}
    listed = data.get("bad_properties")
    bad = (
        tuple(replace_surrogates(name) for name in listed if isinstance(name, str))
        if isinstance(listed, list)
        else ()
    )
    schemas = _schemas(data)
    expected = "; ".join(
        f"{name} must match {one_line(compact_json(schemas[name]), MAX_SCHEMA_LENGTH)}"
        for name in bad
        if schemas.get(name)
    )
    return InvalidProperties(
        f"{prefix}: Stitch rejected properties of the source: they are empty, or have the wrong type or "
        f"format. {expected}{'. ' if expected else ''}Stitch's message: {response.message}",
        bad_properties=bad,
    )


def _schemas(data: Mapping[str, object]) -> dict[str, object]:
    try:
        card = ReportCard.within(data)
    except UnexpectedResponse:  # the error message is useful even without the schemas
        return {}
    return {each.name: each.json_schema for step in (card.steps if card else ()) for each in step.properties}


class _Rule(NamedTuple):
    pattern: str  #: a regular expression that matches the beginning of Stitch's message
    error_class: type[StitchError]
    meaning: str


_RULES = (
    _Rule(
        "ExistingUser",
        EmailInUse,
        "a Stitch user with this e-mail address exists, so no account was created. Use another address. If "
        "the response to an earlier attempt was lost, that attempt may have created the account: ask the "
        "user to authorize you.",
    ),
    _Rule(
        "BadRequest: .*partner_(id|secret): required",
        StitchUnauthorized,
        "Stitch rejected the partner credentials. Check partner_id and partner_secret.",
    ),
    _Rule(
        "you are at your destination limit|an account can have at most one destination",
        LimitReached,
        "the account has as many destinations as its plan allows. Delete one, or ask Stitch for more.",
    ),
    _Rule(
        "this API endpoint does not support modifying destination type",
        StitchBadRequest,
        "the type of a destination cannot be changed. Create another destination instead.",
    ),
    _Rule(
        "invalid connection id|Unable to locate dest",
        UnknownDestination,
        "this account has no such destination, or it is deleted.",
    ),
    _Rule(
        "InvalidType", StitchBadRequest, "Stitch has no such source type; list_source_types() returns all."
    ),
    _Rule(
        "InvalidName: non-unique name",
        NameInUse,
        "another source of this account has this name. Choose another display name.",
    ),
    _Rule("InvalidProperties", InvalidProperties, ""),
    _Rule("AccessDenied", NotInPlan, "the account's plan does not include this."),
    _Rule(
        "InvalidCronExpression",
        StitchBadRequest,
        "the cron expression contains both a day of the month and a day of the week. Use ? for one of them.",
    ),
    _Rule("InvalidId|invalid_source", UnknownSource, "this account has no such source."),
    _Rule("invalid stream-id", UnknownStream, "there is no such stream or source."),
    _Rule(
        "invalid_fields: invalid tap-stream-ids",
        UnknownStream,
        "the source has no stream with this tap_stream_id; list_streams() returns all.",
    ),
    _Rule(
        "invalid_fields: unsupported fields",
        StitchBadRequest,
        "a field that Stitch does not support cannot be selected.",
    ),
    _Rule(
        "Account not authorized to create additional",
        LimitReached,
        "the account has as many custom e-mails as Stitch allows (10). Delete one.",
    ),
    _Rule("Account not authorized", NotInPlan, "the account's plan does not include custom e-mails."),
    _Rule("Client does not have access to hooks", NotInPlan, "the account's plan does not include hooks."),
    _Rule(
        "You have exceeded the limit of",
        LimitReached,
        "the account has as many post-load hooks as Stitch allows (10). Delete one.",
    ),
)
