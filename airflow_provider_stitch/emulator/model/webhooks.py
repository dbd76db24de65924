"""Post-load webhooks, with their payloads and delivery states.

See "Post-load webhooks" in the Stitch documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_stitch.emulator.model.times import format_time, format_time_ms

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.model.connections.destinations import Destination
    from airflow_provider_stitch.emulator.model.connections.sources import Source
    from airflow_provider_stitch.emulator.model.connections.streams import Stream
    from airflow_provider_stitch.emulator.model.jobs.timeline import Batch
    from airflow_provider_stitch.emulator.model.notifications import Hook
    from airflow_provider_stitch.emulator.model.quirks import Quirks

#: Maximum number of retries after the first attempt to deliver a webhook. See "Post-load webhooks" in the
#: Stitch documentation.
MAX_RETRIES = 5
State = Literal["waiting", "delivered", "failed", "not sent"]


class WebhookAttempt(NamedTuple):
    """One attempt to deliver a webhook."""

    at: datetime  #: virtual time
    status: int | None  #: HTTP status of the response, or None if there was no response
    error: str | None  #: reason why the receiver sent no response


@dataclass
class Webhook:
    """A webhook for one load."""

    hook_id: int
    client_id: int
    url: str
    at: datetime  #: virtual time when the rows were loaded
    payload: dict[str, Any]
    #: The state is ``not sent`` if the URL points to another machine, because the emulator sends no requests
    #: to other machines.
    state: State = "waiting"
    attempts: list[WebhookAttempt] = field(default_factory=list)


class Outbox:
    """The webhooks of all accounts. Callers must hold the lock of the emulator's state."""

    def __init__(self) -> None:
        self.webhooks: list[Webhook] = []
        self._waiting: list[tuple[datetime, Webhook]] = []
        self._in_progress = 0

    def add(self, webhook: Webhook) -> None:
        """Add a webhook, which is due immediately."""
        self.webhooks.append(webhook)
        if webhook.state == "waiting":
            self._waiting.append((webhook.at, webhook))

    def take_due(self, now: datetime) -> list[Webhook]:
        """Return all due webhooks.

        For each returned webhook, the caller must then call :meth:`record_attempt`.
        """
        due = [webhook for at, webhook in self._waiting if at <= now]
        self._waiting = [(at, webhook) for at, webhook in self._waiting if at > now]
        self._in_progress += len(due)
        return due

    def next_time(self) -> datetime | None:
        """Return the time of the next delivery attempt, or None if no webhook is waiting."""
        return min((at for at, _ in self._waiting), default=None)

    def record_attempt(self, webhook: Webhook, attempt: WebhookAttempt, retry_after: float) -> None:
        """Record the result of a delivery attempt, and schedule a retry if the attempt failed.

        :param retry_after: virtual seconds until the retry.
        """
        webhook.attempts.append(attempt)
        if attempt.status is not None and 200 <= attempt.status < 300:
            webhook.state = "delivered"
        elif len(webhook.attempts) > MAX_RETRIES:
            webhook.state = "failed"
        else:
            self._waiting.append((attempt.at + timedelta(seconds=retry_after), webhook))
        self._in_progress -= 1

    def is_idle(self, now: datetime) -> bool:
        """Return whether all due deliveries have been attempted and no attempt is in progress."""
        return self._in_progress == 0 and not any(at <= now for at, _ in self._waiting)


def make_webhook(hook: Hook, at: datetime, payload: dict[str, Any], *, local: bool) -> Webhook:
    """Create the webhook that Stitch sends to a hook's URL after a load.

    :param local: whether the hook's URL points to this machine.
    """
    return Webhook(hook.id, hook.client_id, hook.url, at, payload, "waiting" if local else "not sent")


def make_payload(
    source: Source,
    stream: Stream,
    batch: Batch,
    *,
    destination: Destination,
    loaded_at: datetime,
    quirks: Quirks,
) -> dict[str, Any]:
    """Return the payload of the webhook that announces a loaded batch."""
    name = source.table_name(stream)
    is_full_table = stream.replication_method == "FULL_TABLE"
    return {
        "version": "1.0",
        "minimum_sdc_batched_at": format_time_ms(loaded_at),
        "integration_name": source.name if quirks.webhook_names == "name" else source.display_name,
        "new_version": is_full_table,
        "source_root_table_name": stream.stream_name,
        "destination_root_table_name": name,
        "table_version": _milliseconds(batch.flushed_at) if is_full_table else 0,
        "tables": [
            {
                "source_table_name": stream.stream_name,
                "destination_table_name": name,
                "num_rows": batch.rows - batch.rejected,
                "num_rows_rejected": batch.rejected,
                "max_time_extracted": format_time_ms(batch.extracted_at),
                **_bookmark_fields(stream, batch, quirks),
                **_s3_fields(source, stream, destination, loaded_at, quirks),
            }
        ],
    }


def _bookmark_fields(stream: Stream, batch: Batch, quirks: Quirks) -> dict[str, Any]:
    if batch.rejected >= batch.rows:
        return {"bookmark_metadata": None}
    if stream.replication_method == "FULL_TABLE":
        return {"bookmark_metadata": None} if quirks.webhook_blanks == "null" else {}
    latest = batch.extracted_at - timedelta(minutes=5)
    bounds = {"min_value": format_time(latest - timedelta(days=1)), "max_value": format_time(latest)}
    return {"bookmark_metadata": [{"key": stream.replication_key, **bounds}]}


def _s3_fields(
    source: Source, stream: Stream, destination: Destination, loaded_at: datetime, quirks: Quirks
) -> dict[str, Any]:
    """Return the fields that are specific to Amazon S3 destinations."""
    if destination.type != "s3":
        return {"primary_keys": None, "s3_objects": None} if quirks.webhook_blanks == "null" else {}
    file = f"{source.name}/{stream.stream_name}/0_{_milliseconds(loaded_at)}.jsonl"
    return {"primary_keys": list(stream.plan.primary_key), "s3_objects": [file]}


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
