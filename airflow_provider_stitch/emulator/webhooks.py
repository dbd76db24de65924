"""Post-load webhooks: what they say, and what became of each.

Source: Stitch documentation, "Post-load webhooks".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_stitch.emulator.clock import stamp, stamp_ms

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.destinations import Destination
    from airflow_provider_stitch.emulator.jobs import Batch
    from airflow_provider_stitch.emulator.notifications import Hook
    from airflow_provider_stitch.emulator.plans import Quirks
    from airflow_provider_stitch.emulator.sources import Source
    from airflow_provider_stitch.emulator.streams import Stream

#: After the first try; then Stitch sends an e-mail, and nothing more. Source: as above.
RETRIES = 5
State = Literal["waiting", "delivered", "failed", "not sent"]


class WebhookAttempt(NamedTuple):
    """One try to deliver a webhook."""

    at: datetime  #: virtual time
    status: int | None  #: what the receiver answered; None: nothing
    error: str | None  #: why there was no answer


@dataclass
class Webhook:
    """A webhook that a load has caused."""

    hook_id: int
    client_id: int
    url: str
    at: datetime  #: when the load was, in virtual time
    payload: dict[str, Any]
    #: ``not sent``: the URL leads to another machine, which the emulator never calls.
    state: State = "waiting"
    attempts: list[WebhookAttempt] = field(default_factory=list)


class Outbox:
    """The webhooks of all accounts. Whoever calls it holds the emulator's lock."""

    def __init__(self) -> None:
        self.webhooks: list[Webhook] = []
        self._waiting: list[tuple[datetime, Webhook]] = []
        self._under_way = 0

    def post(self, webhook: Webhook) -> None:
        """A webhook is to be delivered, at once."""
        self.webhooks.append(webhook)
        if webhook.state == "waiting":
            self._waiting.append((webhook.at, webhook))

    def take_due(self, now: datetime) -> list[Webhook]:
        """The webhooks to try now. Each must be settled afterwards."""
        due = [webhook for at, webhook in self._waiting if at <= now]
        self._waiting = [(at, webhook) for at, webhook in self._waiting if at > now]
        self._under_way += len(due)
        return due

    def next_at(self) -> datetime | None:
        """When the next try is due."""
        return min((at for at, _ in self._waiting), default=None)

    def settle(self, webhook: Webhook, attempt: WebhookAttempt, retry_after: float) -> None:
        """Note how a try went, and try again later, in (virtual) seconds, if it was in vain."""
        webhook.attempts.append(attempt)
        if attempt.status is not None and 200 <= attempt.status < 300:
            webhook.state = "delivered"
        elif len(webhook.attempts) > RETRIES:
            webhook.state = "failed"
        else:
            self._waiting.append((attempt.at + timedelta(seconds=retry_after), webhook))
        self._under_way -= 1

    def idle(self, now: datetime) -> bool:
        """Whether nothing is to be tried now, and no try is under way."""
        return self._under_way == 0 and not any(at <= now for at, _ in self._waiting)


def payload(
    source: Source,
    stream: Stream,
    batch: Batch,
    *,
    destination: Destination,
    loaded_at: datetime,
    quirks: Quirks,
) -> dict[str, Any]:
    """What a hook is told of one batch of one table."""
    name = source.table_name(stream)
    truncates = stream.replication_method == "FULL_TABLE"
    return {
        "version": "1.0",
        "minimum_sdc_batched_at": stamp_ms(loaded_at),
        "integration_name": source.name if quirks.webhook_names == "name" else source.display_name,
        "new_version": truncates,
        "source_root_table_name": stream.stream_name,
        "destination_root_table_name": name,
        "table_version": _milliseconds(batch.flushed_at) if truncates else 0,
        "tables": [
            {
                "source_table_name": stream.stream_name,
                "destination_table_name": name,
                "num_rows": batch.rows - batch.rejected,
                "num_rows_rejected": batch.rejected,
                "max_time_extracted": stamp_ms(batch.extracted_at),
                **_bookmark(stream, batch, quirks),
                **_objects(source, stream, destination, loaded_at, quirks),
            }
        ],
    }


def _bookmark(stream: Stream, batch: Batch, quirks: Quirks) -> dict[str, Any]:
    if batch.rejected >= batch.rows:
        return {"bookmark_metadata": None}
    if stream.replication_method == "FULL_TABLE":
        return {"bookmark_metadata": None} if quirks.webhook_blanks == "null" else {}
    latest = batch.extracted_at - timedelta(minutes=5)
    bounds = {"min_value": stamp(latest - timedelta(days=1)), "max_value": stamp(latest)}
    return {"bookmark_metadata": [{"key": stream.replication_key, **bounds}]}


def _objects(
    source: Source, stream: Stream, destination: Destination, loaded_at: datetime, quirks: Quirks
) -> dict[str, Any]:
    """Amazon S3 destinations only."""
    if destination.type != "s3":
        return {"primary_keys": None, "s3_objects": None} if quirks.webhook_blanks == "null" else {}
    file = f"{source.name}/{stream.stream_name}/0_{_milliseconds(loaded_at)}.jsonl"
    return {"primary_keys": list(stream.plan.primary_key), "s3_objects": [file]}


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def webhook_of(hook: Hook, at: datetime, content: dict[str, Any], *, reachable: bool) -> Webhook:
    """A webhook of a hook."""
    state: State = "waiting" if reachable else "not sent"
    return Webhook(hook.id, hook.client_id, hook.url, at, content, state)
