"""Functions that fail a task without a retry if a retry cannot fix the error."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_stitch.connect.errors import StitchError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def fail_without_retry() -> Iterator[None]:
    """Replace StitchErrors that a retry cannot fix with errors that Airflow does not retry."""
    try:
        yield
    except StitchError as error:
        if error.retryable:
            raise
        # The message contains everything that a user needs, and the traceback would only hide the message.
        raise permanent_error(error) from None


def permanent_error(error: StitchError) -> AirflowFailException:
    """Return an exception with the same error, which fails the task without a retry.

    The exception has the class and the attributes of the error, so callbacks can check the class and read
    `source_id` and `job_name`.
    """
    return cast("AirflowFailException", _permanent_error(type(error), str(error), error.__dict__))


_permanent_classes: dict[type[StitchError], Any] = {}


def _permanent_class(error_class: type[StitchError]) -> Any:
    """Return a class that inherits from both an error class and AirflowFailException."""
    if error_class not in _permanent_classes:
        members = {
            "__reduce__": _reduce_permanent_error,
            "__doc__": error_class.__doc__,
            "__module__": error_class.__module__,
        }
        bases = (error_class, AirflowFailException)
        _permanent_classes[error_class] = type(error_class.__name__, bases, members)
    return _permanent_classes[error_class]


def _reduce_permanent_error(error: StitchError) -> tuple[Any, ...]:
    """Return the arguments that pickle needs to recreate an error.

    Pickle cannot import a class that was created at run time.
    """
    error_class = type(error).__bases__[0]
    return _permanent_error, (error_class, str(error), error.__dict__)


def _permanent_error(error_class: type[StitchError], message: str, attributes: dict[str, Any]) -> StitchError:
    error: StitchError = _permanent_class(error_class)(message)
    error.__dict__.update(attributes)
    return error
