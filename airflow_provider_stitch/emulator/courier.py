"""Delivers webhooks to receivers on this machine, and to no other.

It runs in the event loop of the emulator's server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.loopback import Address, hook_address
from airflow_provider_stitch.emulator.webhooks import Webhook, WebhookAttempt

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.world import World

#: Real seconds, since the receiver's are, too. Source: Stitch documentation, "Post-load webhooks".
TIMEOUT = 30.0


class Courier:
    """Tries each webhook when it is due."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._loop = asyncio.get_running_loop()
        tries: set[asyncio.Task[None]] = set()
        try:
            while True:
                self._woken.clear()
                due, seconds = self._look()
                for webhook in due:
                    task = self._loop.create_task(self._try(webhook))
                    tries.add(task)
                    task.add_done_callback(tries.discard)
                # Not wait_for, which can lose a cancellation that comes together with what it waits for.
                timer = None if seconds is None else self._loop.call_later(seconds, self._woken.set)
                await self._woken.wait()
                if timer is not None:
                    timer.cancel()
        finally:
            self._loop = None
            for task in tries:
                task.cancel()

    def wake(self) -> None:
        """Look again: something may be due. From any thread."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the emulator is being stopped at this moment
                loop.call_soon_threadsafe(self._woken.set)

    def _look(self) -> tuple[list[Webhook], float | None]:
        """What is due, and the (real) seconds until more may be."""
        with self._world.at_now(tell=False) as now:
            due = self._world.outbox.take_due(now)
            following = self._world.next_event()
            if following is None:
                return due, None
            return due, max(0.0, (following - now).total_seconds() / self._world.clock.speed)

    async def _try(self, webhook: Webhook) -> None:
        status, error = None, None
        try:
            status = await asyncio.wait_for(post(webhook), TIMEOUT)
        except asyncio.TimeoutError:
            error = f"no answer within {TIMEOUT:g} s"
        except (OSError, ValueError, asyncio.IncompleteReadError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        with self._world.at_now() as now:
            attempt = WebhookAttempt(now, status, error)
            self._world.outbox.settle(webhook, attempt, self._world.quirks.webhook_retry_seconds)


async def post(webhook: Webhook) -> int:
    """Send a webhook and return the status of the answer. Redirects are not followed."""
    address = hook_address(webhook.url)
    if address is None:
        raise ValueError("not on this machine")
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
            raise ValueError(f"no HTTP answer: {line[:80]!r}")
        return int(rest[:3])
    finally:
        writer.close()


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context() if address.tls else None
    name = address.name if address.tls else None
    try:
        return await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname=name)
    except ConnectionError:
        if address.other_host is None:
            raise
    return await asyncio.open_connection(address.other_host, address.port, ssl=context, server_hostname=name)
