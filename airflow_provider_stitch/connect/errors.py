"""The exceptions of this package: one class per kind of failure.

`connect` raises no other exceptions, so a caller needs no other `except`. The class identifies the kind of
failure and whether a retry can help. The message says what happened, to which source or job, and what to do.
This module imports only the standard library, so that a DAG file can import the classes cheaply.
"""
# ruff: noqa: N818 - the classes are named after the failure, without an Error suffix.

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class StitchError(Exception):
    """Base class of all errors. The message is complete without the class name or a traceback.

    :param message: what happened, and what to do now. It never contains a token.
    :param source_id: id of the affected source, if the error concerns one.
    :param job_name: name of the affected job, if the error concerns one.
    """

    #: Whether a later attempt of the whole task may succeed. False: a person must fix the cause first.
    retryable: bool = True

    #: Whether to repeat the request before relying on this error. Stitch does not document such a response to
    #: such a request, so a proxy may have sent it.
    needs_confirmation: bool = False

    def __init__(self, message: str, *, source_id: int | None = None, job_name: str | None = None) -> None:
        # The message is the only positional argument, because pickle and copy call the class with `args` and
        # then restore the attributes, also those that subclasses add.
        super().__init__(message)
        self.source_id = source_id
        self.job_name = job_name

    def with_sentence(self, sentence: str) -> StitchError:
        """Return a copy with a sentence added to its message. Several tasks may share the original."""
        if sentence in str(self):
            return self
        extended = copy(self)
        extended.args = (f"{str(self).rstrip()} {sentence}",)
        return extended


# Errors that a person must fix.


class StitchConfigurationError(StitchError):
    """The connection to Stitch is misconfigured: base URL, token, extras or client id."""

    retryable = False


class StitchUnauthorized(StitchError):
    """Stitch rejected the access token (401, 403) or the partner credentials (400).

    A rejected token is wrong, disabled, deleted, or belongs to another account.
    """

    retryable = False


class StitchBadRequest(StitchError):
    """Stitch rejected the request (400 and other 4xx)."""

    retryable = False


class InvalidProperties(StitchBadRequest):
    """Some properties of a source are empty, or have the wrong type or format.

    :param bad_properties: the names of these properties.
    """

    def __init__(
        self,
        message: str,
        *,
        source_id: int | None = None,
        job_name: str | None = None,
        bad_properties: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, source_id=source_id, job_name=job_name)
        self.bad_properties = bad_properties


class NameInUse(StitchBadRequest):
    """Another source of the account has this display name, or the name that Stitch derives from it."""


class EmailInUse(StitchBadRequest):
    """A Stitch user with this e-mail address already exists, so no account was created."""


class LimitReached(StitchBadRequest):
    """The account already has the maximum number of such objects."""


class NotInPlan(StitchBadRequest):
    """The account's plan does not include this feature."""


class StitchNotFound(StitchError):
    """The requested object does not exist in this account (404)."""

    retryable = False


class UnknownSource(StitchError):
    """No source of this account has this id or name."""

    retryable = False


class DeletedSource(StitchError):
    """The source is deleted, so no job can be started for it."""

    retryable = False


class UnknownDestination(StitchError):
    """No destination of this account has this id or name."""

    retryable = False


class PausedByStitch(StitchError):
    """Stitch itself paused the source. The API cannot undo that."""

    retryable = False


class AmbiguousSource(StitchError):
    """More than one source has this name."""

    retryable = False


class UnknownStream(StitchError):
    """The source has no such stream or field, or the stream is not selected."""

    retryable = False


class InvalidArgument(StitchError):
    """An argument is invalid. No request was sent to Stitch."""

    retryable = False


class AccountHasProblems(StitchError):
    """A check of the account has found sources whose extraction or loading fails, or whose rows are old."""

    retryable = False


# Errors that a retry may fix.


class ExtractionLogNotFound(StitchNotFound):
    """Stitch has no log of this job: it is too new, too old (1 to 60 days, by plan), or does not exist."""

    retryable = True


class JobAlreadyRunning(StitchError):
    """A replication job of this source is already running, so none was started.

    :param responded_at: the `Date` of Stitch's response (UTC); None if it has no valid one.

    Source: Stitch Connect API, "Start a replication job" (the response has HTTP status 200).
    """

    def __init__(
        self,
        message: str,
        *,
        source_id: int | None = None,
        job_name: str | None = None,
        responded_at: datetime | None = None,
    ) -> None:
        super().__init__(message, source_id=source_id, job_name=job_name)
        self.responded_at = responded_at


class SourceNotReady(StitchError):
    """The source's configuration is not complete enough for this operation."""


class JobNotStarted(StitchError):
    """Stitch rejected the start of a job with an undocumented error."""


class StitchUnavailable(StitchError):
    """Stitch did not respond, or responded with a server error (5xx).

    :param retry_after: the `Retry-After` of the response in seconds; None if it has none.
    :param maybe_received: False only if Stitch cannot have processed the request (connection refused, unknown
        host, connect timeout, 429). If True, the request may have taken effect, such as started a job.
    """

    def __init__(
        self,
        message: str,
        *,
        source_id: int | None = None,
        job_name: str | None = None,
        retry_after: float | None = None,
        maybe_received: bool = True,
    ) -> None:
        super().__init__(message, source_id=source_id, job_name=job_name)
        self.retry_after = retry_after
        self.maybe_received = maybe_received


class ExtractionLogUnavailable(StitchUnavailable):
    """Stitch redirected to a log host, but the log could not be downloaded from there."""


class RateLimited(StitchUnavailable):
    """Stitch received too many requests (429). `maybe_received` is False."""


class UnexpectedResponse(StitchError):
    """The response is invalid: HTML, truncated, too large, a redirect, or has a different structure.

    The message contains the method, the URL, and the first 200 characters of the body.
    """


# Failures of a phase of a replication job. `replication` and the operators raise them.


class ExtractionFailed(StitchError):
    """Discovery, tap or target failed, or Stitch terminated the extraction."""


class StructureSyncFailed(StitchError):
    """Discovery failed."""


class LoadingFailed(StitchError):
    """The destination rejected the rows of a stream."""


class ConnectionCheckFailed(StitchError):
    """Stitch could not connect to the source, or could not discover its structure."""


class JobOutcomeUnknown(StitchError):
    """The job has ended, but its outcome cannot be determined."""


class CannotFinish(StitchError):
    """The phase can never finish: the source is deleted, paused or incomplete, or has no destination."""

    retryable = False


class PhaseTimedOut(StitchError):
    """The phase did not finish before the timeout."""


class JobTerminated(ExtractionFailed):
    """The job was terminated: a user stopped it, or it reached Stitch's limit of 24 hours."""


def _with_subclasses(error_class: type[StitchError]) -> dict[str, type[StitchError]]:
    classes = {error_class.__name__: error_class}
    for subclass in error_class.__subclasses__():
        classes.update(_with_subclasses(subclass))
    return classes


#: All error classes by name, to restore an error from a trigger's event. Each can be constructed from a
#: message, a `source_id` and a `job_name` alone.
ERROR_CLASSES: dict[str, type[StitchError]] = _with_subclasses(StitchError)
