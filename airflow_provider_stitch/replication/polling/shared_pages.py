"""Share the pages of an account's lists with other processes through Redis.

A process that has requested a page publishes the page together with the time of the request. A waiter in
another process uses the published page instead of sending a request, if the page was requested after the
waiter began to need it. A lease ensures that only one process at a time requests a page.

All times are in microseconds, by the clock of the Redis server. The times of requests also serve as their
sequence numbers (see `sequence`), so that requests of different processes can be compared. A process
estimates the server's time from its last call. The process uses the latest possible time as the time at which
a waiter began to need a page, and the earliest possible time as the time of a request. An error in the
estimate therefore never makes a page seem newer than it is.

Redis contains only the fields of records that waiters use, but no logs or secrets. Pages expire.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import RedisError

from airflow_provider_stitch.connect.errors import UnexpectedResponse
from airflow_provider_stitch.connect.objects import Extraction, Load, Page
from airflow_provider_stitch.replication.budget.redis_store import key_prefix
from airflow_provider_stitch.replication.polling.limited_requests import (
    LeasedElsewhere,
    LimitedRequest,
    RequestKind,
    SharedPage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import Redis

PAGE_RETENTION_MS = 600_000
"""Milliseconds until a page expires."""

LEASE_MS = 35_000
"""Milliseconds until the lease of a killed process expires.

A response usually takes less than a second. If the lease expires before the response arrives, another process
may request the page as well.
"""

MAX_TIME = 2**53
"""A time that is later than all other times. Lua represents all integers up to this value exactly."""

RETRY_INTERVAL = 5.0
"""Number of seconds after a failure before the Redis server is used again."""

FIELDS = {
    RequestKind.EXTRACTIONS: (
        "job_name",
        "source_id",
        "stitch_client_id",
        "source_type",
        "tap_name",
        "start_time",
        "completion_time",
        *(f"{part}_exit_status" for part in ("discovery", "tap", "target")),
        *(f"{part}_description" for part in ("discovery", "tap", "target")),
    ),
    RequestKind.LOADS: (
        "source_name",
        "stream_name",
        "stitch_client_id",
        "last_batch_loaded_at",
        "error_state",
    ),
}
"""The published fields of a record. Waiters do not use the other fields of a record."""

PARSERS: dict[RequestKind, Callable[[object], Any]] = {
    RequestKind.EXTRACTIONS: Extraction.from_json,
    RequestKind.LOADS: Load.from_json,
}

_TIME = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1e6 + tonumber(time[2])
local function newer(page, after)
  -- If the page's time is in the future, the server's clock was set back.
  return page[1] and tonumber(page[1]) > tonumber(after) and tonumber(page[1]) <= now
end
"""

LEASE_SCRIPT = (
    _TIME
    + """
local page = redis.call('HMGET', KEYS[1], 'at', 'page')
if newer(page, ARGV[1]) then return {string.format('%.0f', now), 'page', page[1], page[2]} end
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  return {string.format('%.0f', now), 'lease'}
end
return {string.format('%.0f', now), 'busy'}
"""
)

NEWER_SCRIPT = (
    _TIME
    + """
local found = {string.format('%.0f', now)}
for i, key in ipairs(KEYS) do
  local at = redis.call('HMGET', key, 'at')
  if newer(at, ARGV[i]) then
    table.insert(found, tostring(i))
    table.insert(found, at[1])
    table.insert(found, redis.call('HGET', key, 'page'))
  end
end
return found
"""
)

RELEASE_SCRIPT = """
local at = redis.call('HGET', KEYS[1], 'at')
if ARGV[2] ~= '' and (not at or tonumber(at) < tonumber(ARGV[2])) then
  redis.call('HSET', KEYS[1], 'at', ARGV[2], 'page', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return {}
"""


class Lease(NamedTuple):
    """The right to request a page. Pass the lease to `publish` or `release` afterwards."""

    request: LimitedRequest
    token: str


class SharedPages:
    """The latest pages of one account's lists, shared by several processes.

    Instances are thread-safe. While Redis cannot be used, no page is shared, and methods that read a page
    return None or an empty dict. Failures are not logged, because the request budget uses the same server and
    logs a warning.
    """

    def __init__(
        self, redis: Redis, account: tuple[str, int], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._prefix = f"{key_prefix(account)}:page:1"
        self._monotonic = monotonic
        self._lease_script = redis.register_script(LEASE_SCRIPT)
        self._newer_script = redis.register_script(NEWER_SCRIPT)
        self._release_script = redis.register_script(RELEASE_SCRIPT)
        self._retry_at = float("-inf")
        # The server's time at the latest call, and this process's monotonic times before and after the call.
        self._sample: tuple[int, float, float] | None = None
        # The Redis server's time at the first call. Pages that were requested earlier are not used, because
        # the process cannot compare the times of their requests with the times at which its waiters began to
        # need a page.
        self._first_time = MAX_TIME

    def latest_time(self) -> int | None:
        """Return the latest time that the server's clock may show, or None if no call has succeeded."""
        if self._sample is None:
            return None
        at, before, _ = self._sample
        return at + _microseconds(self._monotonic() - before)

    def earliest_time(self) -> int:
        """Return the earliest time that the server's clock may show.

        Call this method only while holding a lease.
        """
        at, _, after = self._sample or (0, 0.0, 0.0)
        return at + _microseconds(self._monotonic() - after)

    def lease(self, request: LimitedRequest, after: int) -> SharedPage | Lease | LeasedElsewhere | None:
        """Return a page that was requested later than `after`, or a lease to request the page.

        Return `LeasedElsewhere()` if another process is requesting the page. Return None if pages cannot be
        shared.
        """
        lease = Lease(request, uuid.uuid4().hex)
        keys = [self._key(request), self._lease_key(request)]
        reply = self._run(self._lease_script, keys, [max(after, self._first_time), lease.token, LEASE_MS])
        if reply is None:
            return None
        if reply[0] == b"page":
            return self._parse(request, reply[1], reply[2])
        return lease if reply[0] == b"lease" else LeasedElsewhere()

    def newer(self, requests: Mapping[LimitedRequest, int]) -> dict[LimitedRequest, SharedPage]:
        """Return the published pages that were requested after the given times."""
        numbered = list(requests)
        keys = [self._key(request) for request in numbered]
        times = [max(after, self._first_time) for after in requests.values()]
        reply = self._run(self._newer_script, keys, times) or []
        found = {}
        for number, at, content in zip(reply[::3], reply[1::3], reply[2::3], strict=True):
            request = numbered[int(number) - 1]
            if (shared := self._parse(request, at, content)) is not None:
                found[request] = shared
        return found

    def publish(self, lease: Lease, page: Page[Any], requested_at: int) -> None:
        """Publish a page, and end the lease.

        :param requested_at: the value of `earliest_time` just before the request was sent.
        """
        content = _content_of(lease.request.kind, page)
        self._end(lease, [requested_at, content, PAGE_RETENTION_MS] if content else ["", "", 0])

    def release(self, lease: Lease) -> None:
        """End a lease without publishing a page, because the request failed."""
        self._end(lease, ["", "", 0])

    def _end(self, lease: Lease, arguments: list[Any]) -> None:
        keys = [self._key(lease.request), self._lease_key(lease.request)]
        self._call(lambda: self._release_script(keys=keys, args=[lease.token, *arguments]))

    def _run(self, script: Any, keys: Sequence[str], arguments: Sequence[Any]) -> list[bytes] | None:
        """Run a script, record the server's time, and return the rest of the reply."""
        before = self._monotonic()
        reply: list[bytes] | None = self._call(lambda: script(keys=keys, args=arguments))
        if reply is None:
            return None
        at, *rest = reply
        sample = int(at), before, self._monotonic()
        if self._sample is None:
            self._first_time = sample[0] + _microseconds(sample[2] - before)
        self._sample = sample
        return rest

    def _call(self, call: Callable[[], Any]) -> Any | None:
        if self._monotonic() < self._retry_at:
            return None
        try:
            return call()
        except (RedisError, OSError):
            self._retry_at = self._monotonic() + RETRY_INTERVAL
            return None

    def _parse(self, request: LimitedRequest, at: bytes, content: bytes) -> SharedPage | None:
        """Return a published page, or None if another package version published it in a different format."""
        try:
            page = _page_of(request.kind, content)
        except (ValueError, LookupError, TypeError, zlib.error, UnexpectedResponse):
            return None
        age = ((self.latest_time() or 0) - int(at)) / 1e6
        return SharedPage(page, int(at), max(0.0, age))

    def _key(self, request: LimitedRequest) -> str:
        return f"{self._prefix}:{request.kind.value}:{request.key}"

    def _lease_key(self, request: LimitedRequest) -> str:
        return f"{self._key(request)}:lease"


def _content_of(kind: RequestKind, page: Page[Any]) -> bytes | None:
    """Return the bytes to publish for a page, or None if the page contains malformed records."""
    if page.malformed:
        return None
    records = [{name: each.raw[name] for name in FIELDS[kind] if name in each.raw} for each in page.records]
    content = {
        "data": records,
        "page": page.number,
        "total": page.total,
        "next_page": page.next_page,
        "responded_at": None if page.responded_at is None else page.responded_at.isoformat(),
    }
    return zlib.compress(json.dumps(content).encode(), 1)


def _page_of(kind: RequestKind, content: bytes) -> Page[Any]:
    fields = json.loads(zlib.decompress(content))
    responded_at = fields["responded_at"]
    return Page(
        records=tuple(map(PARSERS[kind], fields["data"])),
        number=int(fields["page"]),
        total=int(fields["total"]),
        responded_at=None if responded_at is None else datetime.fromisoformat(responded_at),
        next_page=fields["next_page"],
    )


def _microseconds(seconds: float) -> int:
    return int(seconds * 1e6)


_shared: dict[tuple[str, int], tuple[Redis, SharedPages]] = {}
_shared_lock = threading.Lock()


def _reset_lock_after_fork() -> None:
    global _shared_lock  # noqa: PLW0603 - another thread may have held the lock during the fork
    _shared_lock = threading.Lock()


os.register_at_fork(after_in_child=_reset_lock_after_fork)


def account_pages(redis: Redis, account: tuple[str, int]) -> SharedPages:
    """Return the shared pages of an account. All event loops in this process use the same object."""
    with _shared_lock:
        if account not in _shared or _shared[account][0] is not redis:
            _shared[account] = redis, SharedPages(redis, account)
        return _shared[account][1]
