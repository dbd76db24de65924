"""The errors that Stitch's documented refusals stand for: one table leads from its words to the kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_stitch.connect._answers import refusal
from airflow_provider_stitch.connect._json import compact, encodable, readable
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
    UnexpectedAnswer,
    UnknownDestination,
    UnknownSource,
    UnknownStream,
)
from airflow_provider_stitch.connect.objects.report_cards import ReportCard

if TYPE_CHECKING:
    from airflow_provider_stitch.connect._answers import Answer

SHOWN_SCHEMA = 200  #: characters of what a property must look like


@dataclass(frozen=True, slots=True)
class About:
    """What a request is about: for the kind and the words of an error."""

    what: str  #: `source 310442`
    unknown: type[StitchError] = StitchNotFound  #: there is no such thing
    hint: str = "Check the id, and that the access token is of the right account."
    source_id: int | None = None
    ids: Mapping[str, int | str] = field(default_factory=dict)  #: those in the request's path
    unauthorized: str | None = None  #: what a 401 means, if not that the access token is refused


def refusal_about(answer: Answer, about: About | None) -> StitchError:
    """Return the error that an answer other than a success stands for.

    Source: Stitch Connect API, the errors of each endpoint.
    """
    error = _known_refusal(answer, about)
    if error is None:
        error = refusal(answer)
    error.source_id = about.source_id if about else None
    # A request that only reads what was there before is hardly ever refused in earnest.
    is_read = answer.asked.startswith("GET ")
    error.is_doubtful = error.is_doubtful or is_read or not _is_documented(answer)
    return error


def _is_documented(answer: Answer) -> bool:
    """Return whether Stitch documents a refusal of this form, so that no proxy is likely to have sent it."""
    if answer.status == 401 or answer.error_type is not None:
        return True
    return any(re.match(each.words, answer.said, re.IGNORECASE) for each in _RULES)


def why_not_started(answer: Answer, about: About) -> StitchError | None:
    """Return the error that the answer to a start stands for, None if the job was started.

    The status code does not tell: a job that is running already is answered with 200.

    Source: Stitch Connect API, "Start a replication job" (errors).
    """
    source_id = about.source_id
    told = f"No job of source {source_id} was started ({answer.asked}, HTTP {answer.status})"
    error = answer.body.get("error") if isinstance(answer.body, dict) else None
    if answer.ok and error is None:
        return None
    if answer.error_type == "already_running":
        return JobAlreadyRunning(
            f"{told}: one is running already. Wait for it to end, or stop it. Stitch says: {answer.said}",
            source_id=source_id,
            answered_at=answer.answered_at,
        )
    if answer.names_no_source and "deleted" in answer.said.lower():
        return DeletedSource(
            f"{told}: the source is deleted. Use the one that replaced it. Stitch says: {answer.said}",
            source_id=source_id,
        )
    if answer.names_no_source or answer.status == 404:
        return refusal_about(answer, about)
    if error is None:
        refused = StitchBadRequest(
            f"{told}. Look at the source in the Stitch app, then try again. Stitch says: {answer.said}",
            source_id=source_id,
        )
        refused.is_doubtful = not _is_documented(answer)
        return refused
    return JobNotStarted(
        f"{told}, for a reason that Stitch does not document. Look at the source in the Stitch app, then "
        f"try again. Stitch says: {answer.said}",
        source_id=source_id,
    )


def _known_refusal(answer: Answer, about: About | None) -> StitchError | None:
    asked = f"{answer.asked} (HTTP {answer.status})"
    if answer.status in (401, 403) and about and about.unauthorized:
        return StitchUnauthorized(f"{asked}: {about.unauthorized}")
    if answer.status not in (400, 404):
        return None
    rule = next((each for each in _RULES if re.match(each.words, answer.said, re.IGNORECASE)), None)
    # A request that only reads can't be wrong in anything but what it asks for.
    if about and (answer.status == 404 or answer.asked.startswith("GET ") or _names_nothing(answer)):
        return about.unknown(f"{asked}: there is no {about.what}. {about.hint} Stitch says: {answer.said}")
    if rule is None:
        return None
    if rule.kind is InvalidProperties:
        return _invalid_properties(answer, asked)
    return rule.kind(f"{asked}: {rule.meaning} Stitch says: {answer.said}")


def _names_nothing(answer: Answer) -> bool:
    return answer.error_type in ("NotFound", "InvalidId", "invalid_source")


def _invalid_properties(answer: Answer, asked: str) -> InvalidProperties:
    """Return an error that tells what each bad property must look like, as the report card has it."""
    data = answer.body.get("data") if isinstance(answer.body, Mapping) else None
    data = data if isinstance(data, Mapping) else {}
    named = data.get("bad_properties")
    bad = tuple(encodable(name) for name in named if isinstance(name, str)) if isinstance(named, list) else ()
    schemas = _schemas(data)
    wanted = "; ".join(
        f"{name} must fit {readable(compact(schemas[name]), SHOWN_SCHEMA)}"
        for name in bad
        if schemas.get(name)
    )
    return InvalidProperties(
        f"{asked}: Stitch refuses properties of the source: they have a wrong type or form, or are empty. "
        f"{wanted}{'. ' if wanted else ''}Stitch says: {answer.said}",
        bad_properties=bad,
    )


def _schemas(data: Mapping[str, object]) -> dict[str, object]:
    try:
        card = ReportCard.within(data)
    except UnexpectedAnswer:  # it would only have made the message better
        return {}
    return {each.name: each.json_schema for step in (card.steps if card else ()) for each in step.properties}


class _Rule(NamedTuple):
    words: str  #: what Stitch's words begin with
    kind: type[StitchError]
    meaning: str


_RULES = (
    _Rule(
        "ExistingUser",
        EmailInUse,
        "a Stitch user with this e-mail address exists, so no account was created. Give another address. If "
        "the answer to an earlier try was lost, that try may have created the account: ask the user to "
        "authorize you.",
    ),
    _Rule(
        "BadRequest: .*partner_(id|secret): required",
        StitchUnauthorized,
        "Stitch refuses the partner credentials. Check partner_id and partner_secret.",
    ),
    _Rule(
        "you are at your destination limit|an account can have at most one destination",
        LimitReached,
        "the account has as many destinations as its plan allows. Delete one, or ask Stitch for more.",
    ),
    _Rule(
        "this API endpoint does not support modifying destination type",
        StitchBadRequest,
        "a destination keeps its type. Create another destination instead.",
    ),
    _Rule(
        "invalid connection id|Unable to locate dest",
        UnknownDestination,
        "this account has no such destination, or it is deleted.",
    ),
    _Rule("InvalidType", StitchBadRequest, "Stitch has no such type of source; list_source_types() has all."),
    _Rule(
        "InvalidName: non-unique name",
        NameInUse,
        "another source of this account has that name. Choose another display name.",
    ),
    _Rule("InvalidProperties", InvalidProperties, ""),
    _Rule("AccessDenied", NotInPlan, "the account's plan does not include this."),
    _Rule(
        "InvalidCronExpression",
        StitchBadRequest,
        "the cron expression names both a day of the month and a day of the week. Write ? for one of them.",
    ),
    _Rule("InvalidId|invalid_source", UnknownSource, "this account has no such source."),
    _Rule("invalid stream-id", UnknownStream, "there is no such stream or source."),
    _Rule(
        "invalid_fields: invalid tap-stream-ids",
        UnknownStream,
        "the source has no stream of that tap_stream_id; list_streams() has all.",
    ),
    _Rule(
        "invalid_fields: unsupported fields",
        StitchBadRequest,
        "a field that Stitch does not support can't be selected.",
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
