"""Count the requests of one account in Redis, for all hosts.

Each call runs one Lua script, so the call is atomic. The script uses the time of the Redis server, because
the clocks of the hosts may differ. A call to Redis takes about 0.2 ms. The count of an account is stored in
one hash, so that Redis cannot evict only a part of it.

If Redis restarts or is replaced with a different server, all of the count or its latest part may be lost.
After such a loss, the hash is missing, or contains a run ID that differs from the server's run ID. The script
therefore treats the count as uncertain, and allows no request for 11 minutes (see `Allowance.silence`). The
count is also uncertain if the server's clock was set back, or if a host has sent requests while it could not
use Redis.
"""

from __future__ import annotations

import hashlib
import itertools
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from airflow_provider_stitch.replication.budget.window import (
    MAX_IN_FLIGHT_SECONDS,
    WINDOW,
    Allowance,
    Window,
    available_in,
    fair_share,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

MAX_CLOCK_SKEW = 5.0
"""Seconds by which the clock of the Redis server may be set back before the count becomes uncertain."""

UNUSED_COUNT_RETENTION = 90 * 86_400
"""Seconds until the hash of an unused account expires.

The first request after the hash has expired waits for 11 minutes (see `Allowance.silence`).
"""

UNAVAILABLE: tuple[type[Exception], ...] = (RedisError, OSError)
"""The exceptions that the methods of `RedisStore` raise while Redis cannot be used."""

SCRIPT = """
local key, operation, host, request = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local limit, burst, interval = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local seconds, silence, doubt = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local window, max_in_flight, max_skew = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

local function text(number) return string.format('%.6f', number) end

-- Fields of the hash: 'r <id>' = 'sent responded' of a request, 'h <host>' = when the host was last seen, and
-- the other fields of `state`.
local all, state = redis.call('HGETALL', key), {}
for i = 1, #all, 2 do state[all[i]] = all[i + 1] end

-- If the run ID of the server is unknown, the script notices only the loss of the whole hash. Redis may deny
-- INFO to some of the hosts, so the last known run ID is kept.
local info = redis.pcall('INFO', 'server')
local known = state['server'] or 'unknown'
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or known
local blocked_until = tonumber(state['blocked_until'] or '0')
local silent_until, reason = tonumber(state['silent_until'] or '0'), state['reason'] or ''
local lost = ''
if not state['server'] then lost = 'new'
elseif known ~= 'unknown' and known ~= server then lost = 'restarted'
elseif now < tonumber(state['latest']) - max_skew then lost = 'clock' end
if lost ~= '' then
  redis.call('DEL', key)
  state, blocked_until, silent_until = {}, 0, now + silence
elseif doubt ~= '' then
  lost, silent_until = doubt, math.max(silent_until, now + silence)
end
if lost ~= '' then
  reason = lost
  redis.call('HSET', key, 'silent_until', text(silent_until), 'reason', reason)
end
redis.call('HSET', key, 'server', server, 'latest', text(now), 'h ' .. host, text(now))
state['h ' .. host] = text(now)

local hosts, requests, counted = 0, {}, {}
for field, value in pairs(state) do
  local kind = string.sub(field, 1, 2)
  if kind == 'h ' then
    if tonumber(value) > now - window then hosts = hosts + 1 else redis.call('HDEL', key, field) end
  elseif kind == 'r ' then
    local sent, responded = string.match(value, '(%S+) ?(%S*)')
    local counts_until = (tonumber(responded) or math.min(now, tonumber(sent) + max_in_flight)) + window
    if counts_until > now then
      table.insert(counted, counts_until)
      table.insert(requests, string.match(field, 'r (%S+)') .. ' ' .. text(counts_until - now))
    else
      redis.call('HDEL', key, field)
    end
  end
end

local wait = 0
if operation == 'acquire' then
  table.sort(counted)
  local n, available_at = #counted, math.max(now, blocked_until, silent_until)
  if n >= limit then available_at = math.max(available_at, counted[n - limit + 1]) end
  if n >= burst then available_at = math.max(available_at, counted[n - burst + 1] - window + interval) end
  wait = available_at - now
  if wait <= 0 then redis.call('HSET', key, 'r ' .. request, text(now)) end
elseif operation == 'release' then
  redis.call('HSET', key, 'r ' .. request, text(now - seconds) .. ' ' .. text(now - seconds))
elseif operation == 'block' then
  blocked_until = math.max(blocked_until, now + seconds)
  redis.call('HSET', key, 'blocked_until', text(blocked_until))
end
redis.call('EXPIRE', key, tonumber(ARGV[13]))
local reply = {
  text(wait), text(math.max(0, blocked_until - now)), text(math.max(0, silent_until - now)), reason, lost,
  tostring(hosts)
}
-- Lua's `unpack` fails for more than about 8,000 values.
if operation == 'window' then
  for _, each in ipairs(requests) do table.insert(reply, each) end
end
return reply
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one run of the Lua script."""

    wait: float  #: seconds until the request may be sent; 0.0 if it may be sent now
    blocked_for: float  #: seconds until Stitch accepts requests again
    silent_for: float  #: seconds until the count is certain again
    reason: str  #: the latest reason why the count was uncertain, as a key of `REASONS`
    #: The reason why this run of the script found the count uncertain, as a key of `REASONS`. Empty if the
    #: script found no such reason.
    lost: str
    hosts: int  #: number of hosts, including this host, that used Redis in the last window
    #: The process that sent each request, and the number of seconds for which the request still counts.
    requests: Sequence[tuple[str, float]]

    @classmethod
    def parse(cls, reply: Sequence[bytes]) -> Reply:
        wait, blocked_for, silent_for, reason, lost, hosts, *requests = (each.decode() for each in reply)
        parts = (each.rsplit(" ", 1) for each in requests)
        return cls(
            float(wait),
            float(blocked_for),
            float(silent_for),
            reason,
            lost,
            int(hosts),
            [(process, float(seconds)) for process, seconds in parts],
        )

    def window(self, limit: int, process: str) -> Window:
        """Return the times at which the hosts may send requests, and this process's share of the requests."""
        return Window(
            available_in(
                limit,
                [seconds for _, seconds in self.requests],
                now=0.0,
                blocked_until=max(self.blocked_for, self.silent_for),
            ),
            fair_share(limit, [each for each, _ in self.requests if each != process]),
            self.reason_text if self.silent_for > self.blocked_for else "",
        )

    @property
    def reason_text(self) -> str:
        """The latest reason why the count was uncertain, as a clause."""
        return REASONS.get(self.reason, "the count in Redis is uncertain")


REASONS = {
    "new": "Redis has no count of this account's requests: this is its first use, or its data was lost",
    "restarted": "Redis was restarted or replaced, and may have lost a part of the count",
    "clock": "the clock of the Redis server was set back",
    "alone": "a host has sent requests that Redis did not count",
}
"""The reasons why no request may be sent for some time, by the value that the script returns."""


class RedisStore:
    """The requests that all hosts have sent for one account.

    While Redis cannot be used, methods raise one of the exceptions in `UNAVAILABLE`.

    :param redis: a client that does not retry, because a retry would block the worker.
    :param account: base URL and client ID of the account. Redis stores a hash of the URL and the ID, but no
        secret.
    :param process: unique id of this process. The id must not contain spaces.
    """

    def __init__(self, redis: Redis, account: tuple[str, int], process: str) -> None:
        self.process = process
        self._redis = redis
        self._key = f"{key_prefix(account)}:requests"
        self._script = redis.register_script(SCRIPT)
        self._ids = (f"{process} {uuid.uuid4().hex[:8]}-{number}" for number in itertools.count(1))

    def window(self, host: str, limit: int, *, doubt: str = "") -> Reply:
        """Return the hosts' requests that still count against the limit.

        :param host: id of this host, from its budget file.
        :param doubt: a key of `REASONS` if the count may be wrong. If `doubt` is not empty, no host may send
            a request for the time `Allowance.silence`.
        """
        return self._run("window", host, Allowance(limit), doubt=doubt)

    def new_request(self) -> str:
        """Return an id for a new request, to pass to `acquire` and `release`."""
        return next(self._ids)

    def acquire(self, host: str, limit: int, request: str, *, doubt: str = "") -> Reply:
        """Record a request if `limit` allows it."""
        return self._run("acquire", host, Allowance(limit), request=request, doubt=doubt)

    def release(self, host: str, limit: int, request: str, seconds: float) -> None:
        """Record a response that arrived `seconds` ago."""
        self._run("release", host, Allowance(limit), request=request, seconds=seconds)

    def block(self, host: str, limit: int, seconds: float, *, doubt: str = "") -> Reply:
        """For this number of seconds, allow no host to send a request."""
        return self._run("block", host, Allowance(limit), seconds=seconds, doubt=doubt)

    def test(self) -> None:
        """Run the script with a temporary key, without changing the count.

        The script may fail on a server that responds to a ping. For example, the server may be too old, or
        may not allow the Redis user to run scripts. The server may also be a replica, or a cluster node that
        does not store the key.
        """
        key = f"{self._key}:test:{uuid.uuid4().hex}"
        try:
            self._run("acquire", "test", Allowance(1), key=key)
        finally:
            self._redis.delete(key)

    def _run(
        self,
        operation: str,
        host: str,
        allowance: Allowance,
        *,
        request: str = "",
        seconds: float = 0.0,
        doubt: str = "",
        key: str | None = None,
    ) -> Reply:
        arguments: list[Any] = [
            *(operation, host, request, allowance.limit, allowance.burst, allowance.interval),
            *(seconds, allowance.silence, doubt, WINDOW, MAX_IN_FLIGHT_SECONDS, MAX_CLOCK_SKEW),
            UNUSED_COUNT_RETENTION,
        ]
        return Reply.parse(self._script(keys=[key or self._key], args=arguments))


def key_prefix(account: tuple[str, int]) -> str:
    """Return the prefix of an account's Redis keys.

    In a cluster, keys with the same part in braces are stored on the same server.
    """
    digest = hashlib.sha256(" ".join(map(str, account)).encode()).hexdigest()[:16]
    return f"{{stitch-{digest}}}"
