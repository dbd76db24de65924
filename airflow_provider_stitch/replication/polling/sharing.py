"""Let a poller use the pages that processes share through Redis.

If the account's connection has no Redis server, no pages are shared.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.replication.polling.limited_requests import LeasedElsewhere, RequestKind, send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis import Redis

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.extraction_log import ExtractionLog
    from airflow_provider_stitch.connect.objects import Page
    from airflow_provider_stitch.replication.polling.caller import StitchCaller
    from airflow_provider_stitch.replication.polling.limited_requests import LimitedRequest, SharedPage
    from airflow_provider_stitch.replication.polling.shared_pages import Lease, SharedPages

RECHECK_INTERVAL = 0.5
"""Seconds until the poller checks again for a page that another process is requesting."""

READ_INTERVAL = 0.25
"""Minimum number of seconds between two reads of published pages."""


class PageSharing:
    """The pages that one poller shares with other processes."""

    def __init__(self) -> None:
        self._pages: SharedPages | None = None
        self._leased_until: dict[LimitedRequest, float] = {}
        self._next_read_at = float("-inf")

    def set_redis(self, redis: Redis | None, account: tuple[str, int]) -> None:
        """Set the Redis client of the account's connection. If `redis` is None, no pages are shared."""
        if redis is None:
            self._pages = None
            return
        # Imported here, because redis is an optional dependency.
        from airflow_provider_stitch.replication.polling import shared_pages  # noqa: PLC0415

        self._pages = shared_pages.account_pages(redis, account)

    def latest_time(self) -> int:
        """Return the latest possible time of the Redis server in microseconds, or 0 if it is unknown."""
        return (self._pages.latest_time() or 0) if self._pages is not None else 0

    def seconds_until_unleased(self, request: LimitedRequest, now: float) -> float:
        """Return the number of seconds to wait for a page that another process is requesting."""
        return max(0.0, min(RECHECK_INTERVAL, self._leased_until.get(request, now) - now))

    async def read_pages(
        self, needed: Mapping[LimitedRequest, int], now: float
    ) -> dict[LimitedRequest, SharedPage]:
        """Return the published pages that are recent enough for the waiters.

        :param needed: for each request, the time after which its page must have been requested.
        """
        pages = {each: after for each, after in needed.items() if each.kind is not RequestKind.LOG}
        # If `_next_read_at` is further in the future, the clock was set back.
        is_early = now < self._next_read_at <= now + READ_INTERVAL
        if self._pages is None or not pages or is_early:
            return {}
        self._next_read_at = now + READ_INTERVAL
        return await asyncio.to_thread(self._pages.newer, pages)

    async def lease(
        self, request: LimitedRequest, after: int, now: float
    ) -> SharedPage | Lease | LeasedElsewhere | None:
        """Return a page that has just been published, or a lease to request the page.

        Return `LeasedElsewhere()` if another process is requesting the page. In this case,
        `seconds_until_unleased` delays the next attempt. Return None if the response is not shared.
        """
        if self._pages is None or request.kind is RequestKind.LOG:
            return None
        result = await asyncio.to_thread(self._pages.lease, request, after)
        if isinstance(result, LeasedElsewhere):
            self._leased_until[request] = now + RECHECK_INTERVAL
        return result

    async def send(
        self,
        caller: StitchCaller,
        client: StitchClient,
        request: LimitedRequest,
        lease: Lease | None,
        should_abort: Callable[[], bool],
    ) -> Page[Any] | ExtractionLog:
        """Send a request as soon as the budget allows it. If there is a lease, publish the page."""
        pages = self._pages
        if pages is None or lease is None:
            return await caller.call_limited(lambda: send(client, request, should_abort=should_abort))

        def send_with_time() -> tuple[int, Any]:
            return pages.earliest_time(), send(client, request, should_abort=should_abort)

        try:
            requested_at, page = await caller.call_limited(send_with_time)
        except BaseException:
            await asyncio.to_thread(pages.release, lease)
            raise
        await asyncio.to_thread(pages.publish, lease, page, requested_at)
        return page  # type: ignore[no-any-return]
