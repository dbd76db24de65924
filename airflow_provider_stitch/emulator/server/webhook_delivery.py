"""Delivery of webhooks, which the emulator sends only to receivers on this machine.

The task that delivers the webhooks runs in the event loop of the emulator's server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.model.webhook_url import ReceiverAddress, loopback_address
from airflow_provider_stitch.emulator.model.webhooks import Webhook, WebhookAttempt

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.model.state import EmulatorState

#: Timeout of each delivery attempt, in real seconds, because receivers run in real time. See "Post-load
#: webhooks" in the Stitch documentation.
TIMEOUT = 30.0


class WebhookDelivery:
    """A background task that delivers each webhook when it is due."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakeup = asyncio.Event()

    async def run(self) -> None:
        """Deliver webhooks until the task is cancelled."""
        self._loop = asyncio.get_running_loop()
        attempts: set[asyncio.Task[None]] = set()
        try:
            while True:
                self._wakeup.clear()
                due, seconds = self._take_due()
                for webhook in due:
                    task = self._loop.create_task(self._attempt(webhook))
                    attempts.add(task)
                    task.add_done_callback(attempts.discard)
                # Do not use asyncio.wait_for, which can lose a cancellation when the event is set.
                timer = None if seconds is None else self._loop.call_later(seconds, self._wakeup.set)
                await self._wakeup.wait()
                if timer is not None:
                    timer.cancel()
        finally:
            self._loop = None
            for task in attempts:
                task.cancel()

    def wake(self) -> None:
        """Notify the task that a webhook may be due. This method can be called from any thread."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed if the emulator is stopping
                loop.call_soon_threadsafe(self._wakeup.set)

    def _take_due(self) -> tuple[list[Webhook], float | None]:
        """Return the due webhooks, and the number of real seconds until the next webhook can be due."""
        with self._state.locked(notify=False) as now:
            due = self._state.outbox.take_due(now)
            next_event = self._state.next_webhook_event()
            if next_event is None:
                return due, None
            return due, max(0.0, (next_event - now).total_seconds() / self._state.clock.speed)

    async def _attempt(self, webhook: Webhook) -> None:
        status, error = None, None
        try:
            status = await asyncio.wait_for(post(webhook), TIMEOUT)
        except asyncio.TimeoutError:
            error = f"no response within {TIMEOUT:g} s"
        except (OSError, ValueError, asyncio.IncompleteReadError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        with self._state.locked() as now:
            attempt = WebhookAttempt(now, status, error)
            retry_after = self._state.quirks.webhook_retry_seconds
            self._state.outbox.record_attempt(webhook, attempt, retry_after)


async def post(webhook: Webhook) -> int:
    """Send a webhook and return the status of the response. Redirects are not followed."""
    address = loopback_address(webhook.url)
    if address is None:
        raise ValueError("The webhook was not sent, because its URL is not on this machine.")
    reader, writer = await _connect(address)
    try:
        body = json.dumps(webhook.payload).encode()
        head = (
            f"POST {address.target} HTTP/1.1\r\nHost: {address.authority}\r\n"
            "User-Agent: StitchLoadingWebhook\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode("ascii") + body)
        await writer.drain()
        line = await reader.readline()
        version, _, rest = line.decode("latin-1").partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ValueError(f"not an HTTP response: {line[:80]!r}")
        return int(rest[:3])
    finally:
        writer.close()


async def _connect(address: ReceiverAddress) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context() if address.tls else None
    name = address.name if address.tls else None
    try:
        return await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname=name)
    except ConnectionError:
        if address.other_host is None:
            raise
    return await asyncio.open_connection(address.other_host, address.port, ssl=context, server_hostname=name)
