"""A rate limiter for several hosts that count the requests of one account together in Redis.

While Redis cannot be reached, no task fails, and the hosts together still respect the limit. After Redis
becomes unavailable, the hosts send no requests for 11 minutes (see `Allowance.silence`). Each host may then
send an equal part of the allowed requests. The count in Redis does not include the requests that were sent
while Redis was unavailable. If a host has sent such requests, all hosts must therefore wait for 11 minutes
after the host has reached Redis again.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.replication.budget.host import HostState
from airflow_provider_stitch.replication.budget.limiter import SharedRequestBudget
from airflow_provider_stitch.replication.budget.store import process_id
from airflow_provider_stitch.replication.budget.window import Allowance, Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

    from airflow_provider_stitch.replication.budget.redis_store import RedisStore, Reply

T = TypeVar("T")

RETRY_FRACTION = 1 / 120
"""Fraction of a window after which a process tries to reach Redis again: 5 of 600 seconds.

All hosts must notice that Redis is available again long before any host may send requests.
"""

MAX_WAIT_WITHOUT_REDIS = 60.0
"""Maximum number of seconds before another attempt to use Redis, which may be available again."""

_log = logging.getLogger(__name__)


class HostsRequestBudget(SharedRequestBudget):
    """A count, in Redis, of the status requests that all hosts send to one account.

    Each request is also counted in this host's file and in the memory of this process. While Redis is
    unavailable, the counts in the file and in the process limit the requests. If Redis loses its data, the
    count in the file still includes the requests that this host has sent.
    """

    def __init__(
        self,
        limit: int,
        folder: Path,
        account: tuple[str, int],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(limit, folder, account, monotonic=monotonic)
        self._clients: dict[str, Redis | None] = {}  # Redis client for each connection, by connection id
        self._client: Redis | None = None
        self._redis: RedisStore | None = None
        self._redis_errors: tuple[type[Exception], ...] = ()
        self._redis_retry_at = float("-inf")
        self._has_warned_of_redis = False
        # The state of this host that is used while the file is unavailable.
        self._own_state = HostState.new(monotonic())
        # The Redis ids of this process's requests in flight. The id of a request that Redis has not counted
        # is an empty string.
        self._requests: deque[str] = deque()
        self._unreported: list[tuple[str, float]] = []  # request ids and response times to send to Redis

    def set_redis(self, connection_id: str, client: Redis | None) -> None:
        """Set the Redis client for one connection.

        The first client that is not None determines the Redis server.
        """
        with self._lock:
            self._clients[connection_id] = client
            client = next((each for each in self._clients.values() if each is not None), None)
            if client is self._client:
                return
            self._client, self._redis = client, None
            if client is not None:
                # Imported here, because redis is an optional dependency.
                from airflow_provider_stitch.replication.budget import redis_store  # noqa: PLC0415

                self._redis_errors = redis_store.UNAVAILABLE
                process = process_id(os.getpid())
                self._redis = redis_store.RedisStore(client, self._account, process)
                self._redis_retry_at = float("-inf")

    # --- The budget -------------------------------------------------------------------------------------

    def window(self) -> Window:
        if (store := self._redis) is None:
            return super().window()
        limit = self.limit
        reply = self._with_redis(lambda host, doubt: store.window(host, limit, doubt=doubt))
        if reply is None:
            return self._window_without_redis()
        own = self._own_window()
        shared = reply.window(len(own.available_in), store.process)
        return Window(
            tuple(map(max, own.available_in, shared.available_in)), shared.share, reason=shared.reason
        )

    def acquire(self) -> float:
        if (store := self._redis) is None:
            return super().acquire()
        if wait := self._own_window().available_in[0]:
            return wait
        request = store.new_request()
        reply = self._with_redis(lambda host, doubt: store.acquire(host, self.limit, request, doubt=doubt))
        if reply is None:
            return self._acquire_without_redis()
        if reply.wait:
            return reply.wait
        with self._lock:
            self._in_flight += 1
            self._requests.append(request)
        self._with_store(self._store.record)
        return 0.0

    def release(self) -> None:
        super().release()
        with self._lock:
            request = self._requests.popleft() if self._requests else ""
            if not request:
                return
            self._unreported.append((request, self._monotonic()))
        self._with_redis(None)

    def block(self, seconds: float) -> None:
        super().block(seconds)
        if (store := self._redis) is not None:
            self._with_redis(lambda host, doubt: store.block(host, self.limit, seconds, doubt=doubt))

    # --- Redis ------------------------------------------------------------------------------------------

    def _with_redis(self, operation: Callable[[str, str], Reply] | None) -> Reply | None:
        """Return the reply to an operation, or None while Redis cannot be used.

        After the operation, report the responses that were not yet reported to Redis.

        :param operation: a function that is called with the id of this host and the reason why the count may
            be wrong. The reason is an empty string if the count is reliable.
        """
        if self._redis is None or self._monotonic() < self._redis_retry_at:
            return None
        host = self._with_store(self._store.host) or self._own_state
        try:
            reply = None if operation is None else operation(host.id, "alone" if host.sent_alone else "")
            self._report_responses(self._redis, host)
        except self._redis_errors as error:
            self._record_failure(error)
            return None
        if reply is not None:
            self._record_reply(host, reply)
        return reply

    def _report_responses(self, store: RedisStore, host: HostState) -> None:
        while True:
            with self._lock:
                if not self._unreported:
                    return
                request, responded_at = self._unreported.pop()
            try:
                store.release(host.id, self.limit, request, self._monotonic() - responded_at)
            except self._redis_errors:
                with self._lock:
                    self._unreported.append((request, responded_at))
                raise

    def _record_reply(self, host: HostState, reply: Reply) -> None:
        if self._has_warned_of_redis:
            self._has_warned_of_redis = False
            _log.info("Redis can be used again; the hosts share one request budget.")
        now = self._monotonic()

        def after_reply(state: HostState) -> HostState:
            silence = Allowance(self.limit).silence
            return state.after_reply(reply.hosts, now, silence=silence, doubt_reported=bool(host.sent_alone))

        if after_reply(host) != host:
            self._change_host(after_reply)
        if reply.lost:
            self._warn_of_silence(reply)

    def _record_failure(self, error: Exception) -> None:
        now = self._monotonic()
        self._redis_retry_at = now + RETRY_FRACTION * Allowance(self.limit).interval
        self._change_host(lambda state: state.after_failure(now))
        if not self._has_warned_of_redis:
            self._has_warned_of_redis = True
            self._warn_of_outage(error)

    def _change_host(self, change: Callable[[HostState], HostState]) -> HostState:
        """Change the state of this host in the file and in the memory of this process.

        Return the new state from the file. If the file cannot be used, return the new state in memory.
        """
        self._own_state = change(self._own_state)
        return self._with_store(lambda: self._store.change_host(change)) or self._own_state

    # --- Without Redis ----------------------------------------------------------------------------------

    def _window_without_redis(self) -> Window:
        host = self._with_store(self._store.host) or self._own_state
        hosts, silent_for = max(1, host.hosts), self._silent_for(host)
        own = self._own_window(hosts)
        shared = self._with_store(lambda: self._store.window(self.limit, hosts)) or own
        times = map(max, own.available_in, shared.available_in)
        return Window(
            tuple(max(silent_for, each) for each in times),
            shared.share,
            "Redis cannot be reached, and the requests that other hosts have sent may still count"
            if silent_for
            else "",
        )

    def _acquire_without_redis(self) -> float:
        """Count one request of this host and return 0.0, or return the number of seconds to wait."""
        now = self._monotonic()
        host = self._change_host(lambda state: state.after_failure(now))
        hosts = max(1, host.hosts)
        wait = self._silent_for(host) or self._own_window(hosts).available_in[0]
        wait = wait or self._with_store(lambda: self._store.acquire(self.limit, hosts)) or 0.0
        if wait:
            return min(wait, MAX_WAIT_WITHOUT_REDIS)
        self._change_host(lambda state: replace(state, sent_alone=True))
        with self._lock:
            self._in_flight += 1
            self._requests.append("")
        return 0.0

    def _silent_for(self, host: HostState) -> float:
        return host.silent_for(Allowance(self.limit).silence, self._monotonic())

    # --- Warnings ---------------------------------------------------------------------------------------

    def _warn_of_outage(self, error: Exception) -> None:
        host = self._with_store(self._store.host) or self._own_state
        base_url, client_id = self._account
        if host.hosts:
            part = Allowance(self.limit, host.hosts).limit
            consequence = (
                f"This host sends no status request for {self._silent_for(host):.0f} s. After that, it may "
                f"send {part} of the {self.limit} requests in 10 minutes, because {host.hosts} hosts share "
                "them."
            )
        else:
            consequence = (
                "This host has never reached Redis, so it counts only its own requests. If other hosts use "
                "the account, Stitch may receive more requests than it allows."
            )
        _log.warning(
            "Cannot use Redis to share the request budget of Stitch account %s (%s): %s: %s. The task "
            "continues. %s Check the Redis server and the connection with the id in redis_conn_id.",
            client_id,
            base_url,
            type(error).__name__,
            str(error).rstrip("."),
            consequence,
        )

    def _warn_of_silence(self, reply: Reply) -> None:
        base_url, client_id = self._account
        _log.warning(
            "No host sends a status request of Stitch account %s (%s) for %.0f s, because %s. Tasks continue "
            "to wait.",
            client_id,
            base_url,
            reply.silent_for,
            reply.reason_text,
        )
