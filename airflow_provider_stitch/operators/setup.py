"""What operators that set up an account have in common: a few short requests, and patience with Stitch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_stitch.tasks import Deadline, StitchTask, failing_for_good, run, seconds, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import ConnectionCheck, Source

T = TypeVar("T")

# Seconds for which an unavailable Stitch is asked again when nothing else sets an end.
LONGEST_PATIENCE = 86_400.0

# Stitch's times are whole seconds: a check of the same second is not older.
A_SECOND = timedelta(seconds=1)


class StitchSetupOperator(StitchTask, BaseOperator):
    """A task that brings an account to a wanted state: it reads first, and changes only what differs.

    :param timeout: seconds (or a timedelta) for which an unavailable Stitch is asked again.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    ui_color = "#e4f0e1"

    #: Arguments that are secrets. They are rendered when the task runs, and are no template fields.
    secret_arguments: Sequence[str] = ("credentials",)
    #: Arguments that are strings, which `render_template_as_native_obj` may render as numbers.
    string_arguments: Sequence[str] = ()

    def __init__(
        self,
        *,
        timeout: float | timedelta | None = 600,
        stitch_conn_id: str = "stitch_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.timeout = seconds(timeout, "timeout")
        self.stitch_conn_id = stitch_conn_id
        self._deadline = Deadline(None)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Return the part of a mapped task that all its instances share.

        :raises ValueError: if a secret is given without a template.
        """
        from airflow_provider_stitch.operators.secret_arguments import SafePartial, refuse_literals

        refuse_literals(cls.secret_arguments, kwargs)
        return SafePartial(super().partial(**kwargs), cls.secret_arguments)

    def execute(self, context: Context) -> dict[str, Any]:
        """Bring the account to the wanted state and return what was found and changed."""
        with failing_for_good():
            self._refuse_unusable_secrets()
            self._restore_strings()
            self._deadline = Deadline.of(context, self.timeout, self.execution_timeout)
            return self.set_up(context)

    def set_up(self, context: Context) -> dict[str, Any]:
        """Do what this task is for, and return its XCom."""
        raise NotImplementedError

    def _restore_strings(self) -> None:
        for name in self.string_arguments:
            value = getattr(self, name)
            if isinstance(value, int) and not isinstance(value, bool):
                setattr(self, name, str(value))

    def _refuse_unusable_secrets(self) -> None:
        from airflow_provider_stitch.connect.errors import InvalidArgument
        from airflow_provider_stitch.operators.secret_arguments import how_to_give, refuse_xcom

        for name in self.secret_arguments:
            value = getattr(self, name, None)
            try:
                refuse_xcom(name, value)
            except ValueError as error:
                raise InvalidArgument(str(error)) from None
            if name == "credentials" and not (value is None or isinstance(value, Mapping)):
                raise InvalidArgument(
                    f"credentials must be a dict from names to templates; they are of type "
                    f"{type(value).__name__}. {how_to_give('password')}"
                )

    @property
    def seconds_left(self) -> float:
        """Seconds for which there is still time."""
        if self._deadline.at is None:
            return LONGEST_PATIENCE
        return min(max(0.0, self._deadline.at - time.time()), LONGEST_PATIENCE)

    @property
    def client(self) -> StitchClient:
        """The client of the account, which repeats reads and updates for as long as there is time."""
        return self.hook.client.with_retries(self.seconds_left)

    def insist(self, call: Callable[[], T]) -> T:
        """Return the result of a call of the hook's client that may be sent again.

        It is sent again until the timeout if Stitch does not respond, and a few times if the response is one
        that Stitch does not document, because a proxy or firewall may have sent it.
        """
        return run(self.reader(self._deadline.at, self._deadline.time_limit).ask(call))

    def find_source(self, context: Context, source: int | str) -> Source:
        """Return the source that a user named, and leave the link to it.

        :raises UnknownSource: there is none; the message lists candidates.
        :raises DeletedSource: it is deleted.
        """
        from airflow_provider_stitch.replication.never import why_no_end

        found = self.insist(lambda: self.hook.resolve_source(source))
        self.leave_link_to(context, found)
        deleted = why_no_end(found)
        if deleted is not None:
            raise deleted
        return found

    def leave_link_to(self, context: Context, source: Source) -> None:
        """Leave the address of a source's page in XCom, for the link to find."""
        from airflow_provider_stitch.task_context import LINK_KEY

        context["ti"].xcom_push(key=LINK_KEY, value=url_of(self.client.client_id, source.id))

    def about(self, source: Source) -> dict[str, Any]:
        """Return what every XCom tells of its source."""
        client_id = self.client.client_id
        return {
            "source_id": source.id,
            "source_name": source.name,
            "client_id": client_id,
            "url": url_of(client_id, source.id),
        }


def message_of(check: ConnectionCheck) -> str:
    """Return the message of a failed connection check."""
    messages = (check.discovery_error_message, check.tap_error_message, check.target_error_message)
    return next((message for message in messages if message), "Stitch does not say why.")
