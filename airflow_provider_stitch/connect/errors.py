"""What can go wrong with Stitch: one exception class per kind of trouble.

Only these leave `connect`, so a caller needs no other `except`. The class says what kind of trouble it is and
whether a later try can mend it; the message says what happened, to which source or job, and what to do now.
Importing this module costs nothing but the standard library, so that a DAG file can name the kinds.
"""
# ruff: noqa: N818 - the kinds are named by what happened, in Stitch's own words; that they are errors goes
# without saying.

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class StitchError(Exception):
    """Something about Stitch went wrong. Its text is the message and stands on its own.

    :param message: what happened, and what to do now. Never holds a token.
    :param source_id: the source it happened to, if it is about one.
    :param job_name: the job it happened to, if it is about one.
    """

    #: A later try of the whole task may succeed. False: only a person can mend it.
    retryable: bool = True

    #: Stitch does not document this response to this request, so something on the way may have sent it. It is
    #: no proof before the request was repeated.
    is_doubtful: bool = False

    def __init__(self, message: str, *, source_id: int | None = None, job_name: str | None = None) -> None:
        # Only the message is an argument of the exception: pickle and copy call the class with it and then
        # restore the attributes, whatever a subclass adds to them.
        super().__init__(message)
        self.source_id = source_id
        self.job_name = job_name


# What a person has to mend.


class StitchConfigurationError(StitchError):
    """The connection to Stitch is set up wrongly: base URL, token, extras or client id."""

    retryable = False


class StitchUnauthorized(StitchError):
    """Stitch refuses the access token: wrong, disabled, deleted, or of another account (401, 403).

    Or it refuses the partner credentials (400).
    """

    retryable = False


class StitchBadRequest(StitchError):
    """Stitch understood the request and refuses it (400 and other 4xx)."""

    retryable = False


class InvalidProperties(StitchBadRequest):
    """Properties of a source have a wrong type or form, or are empty.

    :param bad_properties: their names.
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
    """Another source of the account has that display name, or the name that is made of it."""


class EmailInUse(StitchBadRequest):
    """A Stitch user with that e-mail address exists already, so no account was created for it."""


class LimitReached(StitchBadRequest):
    """The account has as many of these as Stitch allows."""


class NotInPlan(StitchBadRequest):
    """The account's plan does not include this."""


class StitchNotFound(StitchError):
    """What was asked for does not exist in this account (404)."""

    retryable = False


class UnknownSource(StitchError):
    """No source of this account has that id or name."""

    retryable = False


class DeletedSource(StitchError):
    """The source is deleted, so no job of it can be started."""

    retryable = False


class UnknownDestination(StitchError):
    """No destination of this account has that id or name."""

    retryable = False


class PausedByStitch(StitchError):
    """Stitch itself has paused the source, which no request can undo."""

    retryable = False


class AmbiguousSource(StitchError):
    """More than one source goes by that name."""

    retryable = False


class UnknownStream(StitchError):
    """The source has no such stream (or field of it), or it is not selected."""

    retryable = False


class InvalidArgument(StitchError):
    """An argument makes no sense, and nothing was asked of Stitch."""

    retryable = False


# What a later try may mend.


class ExtractionLogNotFound(StitchNotFound):
    """Stitch has no log of that job: too new, too old (1 to 60 days, by plan), or no such job."""

    retryable = True


class JobAlreadyRunning(StitchError):
    """A replication job of this source is running, so none was started.

    :param answered_at: Stitch's own time of this answer (UTC), None if it gave none.

    Source: Stitch Connect API, "Start a replication job" (answered with HTTP 200).
    """

    def __init__(
        self,
        message: str,
        *,
        source_id: int | None = None,
        job_name: str | None = None,
        answered_at: datetime | None = None,
    ) -> None:
        super().__init__(message, source_id=source_id, job_name=job_name)
        self.answered_at = answered_at


class SourceNotReady(StitchError):
    """The source is at a step of its configuration at which this can't be done yet."""


class JobNotStarted(StitchError):
    """Stitch answered the start of a job with an error that it does not document."""


class StitchUnavailable(StitchError):
    """No answer from Stitch, or one that says it has a problem itself (5xx).

    :param retry_after: seconds that Stitch asks to wait, None if it does not say.
    :param maybe_received: False only if the request cannot have been acted upon (connection refused, unknown
        host, connect timeout, 429). True means that a job may have been started or stopped all the same.
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
    """Stitch named the place of a log, but the host that keeps it does not hand it out."""


class RateLimited(StitchUnavailable):
    """Stitch had too many requests (429). `maybe_received` is False."""


class UnexpectedAnswer(StitchError):
    """The answer is not what it should be: HTML, cut off, of another type, too large, a redirect.

    The message holds the method, the path, and the first 200 characters of the body.
    """


# How a phase of a replication job can end badly. Raised by the layers above.


class ExtractionFailed(StitchError):
    """Discovery, tap or target ended with an error, or Stitch terminated the extraction."""


class StructureSyncFailed(StitchError):
    """Discovery ended with an error."""


class LoadingFailed(StitchError):
    """The destination refuses the rows of a stream."""


class ConnectionCheckFailed(StitchError):
    """Stitch could not connect to the source, or not discover its structure."""


class JobOutcomeUnknown(StitchError):
    """The job is over, and nothing tells how it ended."""


class CannotFinish(StitchError):
    """What is waited for cannot happen: a deleted, paused or unfinished source, or no destination."""

    retryable = False


class PhaseTimedOut(StitchError):
    """The phase was not over in time."""


class JobTerminated(ExtractionFailed):
    """Stitch terminated the job: its 24 hours were over, or somebody stopped it."""


def _with_subclasses(kind: type[StitchError]) -> dict[str, type[StitchError]]:
    kinds = {kind.__name__: kind}
    for subclass in kind.__subclasses__():
        kinds.update(_with_subclasses(subclass))
    return kinds


#: Every kind by its class name, for errors that travel as text (the event of a trigger). Each can be made of
#: a message, a `source_id` and a `job_name` alone.
KINDS: dict[str, type[StitchError]] = _with_subclasses(StitchError)
