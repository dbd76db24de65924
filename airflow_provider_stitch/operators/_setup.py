"""The base class of operators that set up an account with a few short requests."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_stitch.common.deadline import Deadline, parse_duration
from airflow_provider_stitch.common.operator import StitchTask, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import ConnectionCheck, Source

T = TypeVar("T")

# Seconds to keep retrying while Stitch is unavailable, if the task has no timeout.
MAX_RETRY_SECONDS = 86_400.0

# Stitch truncates times to seconds, so the order of two events within one second is unknown.
TIME_PRECISION = timedelta(seconds=1)


class StitchSetupOperator(StitchTask, BaseOperator):
    """Base class of operators that read the state of an account and send only the necessary changes.

    :param timeout: how long to keep retrying while Stitch is unavailable, in seconds or as a timedelta.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    ui_color = "#e4f0e1"

    #: Names of the arguments that contain secrets. Their templates are rendered when the task runs, but the
    #: arguments are not template fields.
    secret_arguments: Sequence[str] = ("credentials",)
    #: Names of string arguments that may become numbers if `render_template_as_native_obj` is set.
    string_arguments: Sequence[str] = ()

    def __init__(
        self,
        *,
        timeout: float | timedelta | None = 600,
        stitch_conn_id: str = "stitch_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.timeout = parse_duration(timeout, "timeout")
        self.stitch_conn_id = stitch_conn_id
        self._deadline = Deadline(None)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Return the partial operator of a mapped task.

        :raises ValueError: if a secret is a literal.
        """
        from airflow_provider_stitch.operators._secrets import SafePartial, reject_literals

        reject_literals(cls.secret_arguments, kwargs)
        return SafePartial(super().partial(**kwargs), cls.secret_arguments)

    def execute(self, context: Context) -> dict[str, Any]:
        """Set up the account and return the XCom."""
        from airflow_provider_stitch.common.failures import fail_without_retry

        with fail_without_retry():
            self._reject_unusable_secrets()
            self._restore_strings()
            self._deadline = Deadline.of(context, self.timeout, self.execution_timeout)
            with self._name_time_limit():
                return self.set_up(context)

    @contextmanager
    def _name_time_limit(self) -> Iterator[None]:
        """If a request was retried until the time limit, add the name of the time limit to the error."""
        from airflow_provider_stitch.connect.errors import StitchError
        from airflow_provider_stitch.replication.polling.backoff import is_transient, with_time_limit

        try:
            yield
        except StitchError as error:
            if self.seconds_left > 0 or not is_transient(error):
                raise
            raise with_time_limit(error, self._deadline.time_limit) from error

    @abstractmethod
    def set_up(self, context: Context) -> dict[str, Any]:
        """Read and change the account, and return the XCom."""

    def _restore_strings(self) -> None:
        for name in self.string_arguments:
            value = getattr(self, name)
            if isinstance(value, int) and not isinstance(value, bool):
                setattr(self, name, str(value))

    def _reject_unusable_secrets(self) -> None:
        from airflow_provider_stitch.connect.errors import InvalidArgument
        from airflow_provider_stitch.operators._secrets import reject_xcom, secret_advice

        for name in self.secret_arguments:
            value = getattr(self, name, None)
            try:
                reject_xcom(name, value)
            except ValueError as error:
                raise InvalidArgument(str(error)) from None
            if name == "credentials" and not (value is None or isinstance(value, Mapping)):
                raise InvalidArgument(
                    f"credentials must be a dict that maps names to templates, not a "
                    f"{type(value).__name__}. {secret_advice('password')}"
                )

    @property
    def seconds_left(self) -> float:
        """The number of seconds until the task's timeout."""
        if self._deadline.at is None:
            return MAX_RETRY_SECONDS
        return min(max(0.0, self._deadline.at - time.time()), MAX_RETRY_SECONDS)

    @property
    def client(self) -> StitchClient:
        """The client of the account, which retries reads and updates until the timeout."""
        return self.hook.client.with_retries(self.seconds_left)

    def call_with_retries(self, call: Callable[[], T]) -> T:
        """Call the hook's client, with retries, and return the result of the call.

        While Stitch does not respond, the call is retried until the timeout. If a response is not documented
        by Stitch, the call is retried only a few times. A proxy or firewall may have sent such a response.
        """
        return run(self.session(self._deadline.at, self._deadline.time_limit).call(call))

    def find_source(self, context: Context, source: int | str) -> Source:
        """Return the source with this id, name or display name, and write the source's link to XCom.

        :raises UnknownSource: if no source matches; the message lists candidates.
        :raises DeletedSource: if the source is deleted.
        """
        from airflow_provider_stitch.replication.rules.preconditions import source_blocker

        found = self.call_with_retries(lambda: self.hook.resolve_source(source))
        self.push_source_link(context, self.client.client_id, found.id)
        blocker = source_blocker(found)
        if blocker is not None:
            raise blocker
        return found

    def source_xcom(self, source: Source) -> dict[str, Any]:
        """Return the values that every XCom about a source contains."""
        from airflow_provider_stitch.hooks.stitch import source_url

        client_id = self.client.client_id
        return {
            "source_id": source.id,
            "source_name": source.name,
            "client_id": client_id,
            "url": source_url(client_id, source.id),
        }


def check_error(check: ConnectionCheck) -> str:
    """Return the error message of a failed connection check."""
    messages = (check.discovery_error_message, check.tap_error_message, check.target_error_message)
    return next((message for message in messages if message), "Stitch reports no reason.")
