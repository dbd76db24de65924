"""The exceptions of this package, one class per kind of failure.

All methods of the clients raise only subclasses of StitchError. The class of an error identifies the kind of
failure, and the attribute `retryable` indicates whether a retry can help. An error message states what
happened, which source or job is affected, and what to do. The module imports only the standard library, so
that DAG files can import the classes cheaply.
"""
# ruff: noqa: N818 - the classes are named after the failure, without an Error suffix.

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class StitchError(Exception):
    """Base class of all errors.

    The message can be understood without the class name or a traceback.

    :param message: what happened and what to do. The message never contains a token.
    :param source_id: the id of the affected source, or None if the error does not concern a single source.
    :param job_name: the name of the affected job, or None if the error does not concern a job.
    """

    #: Whether the task may succeed if it is retried. If False, a person must fix the cause first.
    retryable: bool = True

    #: Whether the request should be repeated before the error is accepted. If True, Stitch does not document
    #: the response to the request, so a proxy may have sent it.
    needs_confirmation: bool = False

    def __init__(self, message: str, *, source_id: int | None = None, job_name: str | None = None) -> None:
        # The message must be the only positional argument, because pickle and copy call the class with
        # `args`. pickle and copy then restore all other attributes, including those of subclasses.
        super().__init__(message)
        self.source_id = source_id
        self.job_name = job_name

    def with_sentence(self, sentence: str) -> StitchError:
        """Return a copy of the error with a sentence added to its message.

        The original error is not changed, because several tasks may share it.
        """
        if sentence in str(self):
            return self
        extended = copy(self)
        extended.args = (f"{str(self).rstrip()} {sentence}",)
        return extended


# Errors whose cause a person must fix.


class StitchConfigurationError(StitchError):
    """The configuration of the connection (base URL, token, extras or client id) is invalid."""

    retryable = False


class StitchUnauthorized(StitchError):
    """Stitch rejected the access token (status 401 or 403) or the partner credentials (status 400).

    A rejected token is invalid, disabled or deleted, or it belongs to another account.
    """

    retryable = False


class StitchBadRequest(StitchError):
    """Stitch rejected the request with status 400 or another 4xx status."""

    retryable = False


class InvalidProperties(StitchBadRequest):
    """Some properties of a source are empty, or have the wrong type or format.

    :param bad_properties: the names of the invalid properties.
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
    """Another source in the account has the same display name, or the name that Stitch derives from it."""


class EmailInUse(StitchBadRequest):
    """A Stitch user with this e-mail address already exists, so no account was created."""


class LimitReached(StitchBadRequest):
    """The account already has the maximum number of objects of the requested kind."""


class NotInPlan(StitchBadRequest):
    """The account's plan does not include the requested feature."""


class StitchNotFound(StitchError):
    """The requested object does not exist in the account (status 404)."""

    retryable = False


class UnknownSource(StitchError):
    """No source in the account has the requested id or name."""

    retryable = False


class DeletedSource(StitchError):
    """The source is deleted, so no job can be started for it."""

    retryable = False


class UnknownDestination(StitchError):
    """No destination in the account has the requested id or name."""

    retryable = False


class PausedByStitch(StitchError):
    """Stitch itself paused the source, and the API cannot unpause it."""

    retryable = False


class AmbiguousSource(StitchError):
    """More than one source has the requested name."""

    retryable = False


class UnknownStream(StitchError):
    """The source does not have the requested stream or field, or the stream is not selected."""

    retryable = False


class InvalidArgument(StitchError):
    """An argument is invalid."""

    retryable = False


class AccountHasProblems(StitchError):
    """An account check found sources that fail to extract or load, or whose rows are outdated."""

    retryable = False


# Errors after which a retry may succeed.


class ExtractionLogNotFound(StitchNotFound):
    """Stitch has no log of the requested job.

    The job may not exist, or it may be too recent or too old. Depending on the plan, Stitch keeps a log for 1
    to 60 days.
    """

    retryable = True


class JobAlreadyRunning(StitchError):
    """A replication job of the source is already running, so no job was started.

    :param responded_at: when Stitch responded (UTC), or None if the time is unknown.

    Source: Stitch Connect API, "Start a replication job". Stitch's response to the start request has status
    200.
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
    """The configuration of the source is incomplete, so the operation is not possible yet."""


class JobNotStarted(StitchError):
    """Stitch rejected the start of a job with an undocumented error."""


class StitchUnavailable(StitchError):
    """Stitch did not respond, or it responded with a server error (status 5xx) or a timeout (status 408).

    :param retry_after: the `Retry-After` header of the response in seconds, or None if the response has no
        such header.
    :param maybe_received: whether Stitch may have processed the request and, for example, started a job. The
        value is False only if Stitch cannot have processed the request (connection refused, unknown host,
        connect timeout, or status 429).
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
    """Stitch redirected to a log host, but the log could not be downloaded from the log host."""


class RateLimited(StitchUnavailable):
    """Stitch rejected the request because of its rate limit (status 429).

    In a RateLimited error, `maybe_received` is False.
    """


class UnexpectedResponse(StitchError):
    """The response is invalid.

    An invalid response may be an HTML page or a redirect, may be truncated or too large, or may have an
    unexpected structure.

    The message contains the method, the URL, and the first 200 characters of the body. A body that may
    contain a secret is omitted.
    """


# Errors that mean that a phase of a replication job failed. Only `replication` and the operators raise such
# errors.


class ExtractionFailed(StitchError):
    """The discovery, the tap or the target failed, or the extraction was terminated."""


class StructureSyncFailed(StitchError):
    """The discovery of the source's structure failed."""


class LoadingFailed(StitchError):
    """The destination rejected the rows of a stream."""


class ConnectionCheckFailed(StitchError):
    """Stitch could not connect to the source or could not discover its structure."""


class JobOutcomeUnknown(StitchError):
    """The job has ended, but its outcome cannot be determined."""


class CannotFinish(StitchError):
    """The awaited phase can never finish.

    The source is deleted or paused, its configuration is incomplete, or it has no destination.
    """

    retryable = False


class PhaseTimedOut(StitchError):
    """The awaited phase did not finish before the timeout."""


class JobTerminated(ExtractionFailed):
    """The job was terminated, either by a user or because it reached Stitch's limit of 24 hours."""


def _with_subclasses(error_class: type[StitchError]) -> dict[str, type[StitchError]]:
    classes = {error_class.__name__: error_class}
    for subclass in error_class.__subclasses__():
        classes.update(_with_subclasses(subclass))
    return classes


#: All error classes, by class name. An error in a trigger's event is restored from the name of its class, so
#: each class must accept a message, a `source_id` and a `job_name` as its only arguments.
ERROR_CLASSES: dict[str, type[StitchError]] = _with_subclasses(StitchError)
