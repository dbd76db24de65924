"""Queries that waiters submit, and the requests that can resolve the queries."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from airflow_provider_stitch.replication.polling.limited_requests import LimitedRequest, RequestKind
from airflow_provider_stitch.replication.polling.page_cache import CachedPage, PageCache, SourceKey, StreamKey
from airflow_provider_stitch.replication.rules.extraction import exact_start_time

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection, Iterable, Sequence

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.errors import UnexpectedResponse
    from airflow_provider_stitch.connect.objects import Extraction, Load, Page
    from airflow_provider_stitch.replication.budget.window import Window
    from airflow_provider_stitch.replication.polling.completion import CompletionEstimate

T = TypeVar("T")

ANY_CACHED = -1
"""Pass this value as `after_sequence` to accept any cached page."""

FRESH_ONLY = -2
"""Pass this value as `after_sequence` to accept only responses to requests that are sent from now on."""

LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class QueryResult(Generic[T]):
    """The result of a query, from one or more responses."""

    value: T
    stitch_time: datetime | None  #: time of the oldest response, by Stitch's clock
    requested_at: float  #: time of the oldest request, by this machine's clock
    sequence: int  #: sequence number of the oldest request; pass it as `after_sequence` to get a newer result
    pages: tuple[int, ...] = ()  #: numbers of the pages that the result is based on; empty for a log


class Notice(NamedTuple):
    """A message that a waiter logs before it continues to wait for its result."""

    message: str
    #: True if the notice is about a lack of free requests, False if it is about an outage.
    is_budget_wait: bool = False


def budget_notice(window: Window) -> Notice:
    """Return the notice for a waiter that waits for a free request."""
    used_up = "the account's requests for the last 10 minutes are used up, or Stitch requested a pause"
    seconds = window.available_in[0]
    return Notice(
        f"Waiting for a free status request: {window.reason or used_up}. The next request is free in "
        f"{seconds:.0f} s.",
        is_budget_wait=True,
    )


@dataclass(eq=False, slots=True)
class Query(ABC, Generic[T]):
    """A query for one piece of information that a waiter needs.

    :param client: the client that sends the requests.
    :param estimate: when the result is likely to change. If None, the request is sent as soon as possible.
    :param after_sequence: accept only responses to requests with a higher sequence number.
    """

    client: StitchClient
    estimate: CompletionEstimate | None
    after_sequence: int
    #: Requests that can resolve the query, or narrow the search for the page that can resolve it.
    requests: tuple[LimitedRequest, ...] = field(default=(), init=False)
    #: Whether to send the request as soon as the rate limit allows it.
    immediate: bool = field(default=False, init=False)
    #: Whether the waiter has not yet logged that it is waiting for a free request.
    expects_budget_notice: bool = field(default=False, init=False)
    #: Number of requests that were sent for the query.
    requests_sent: int = field(default=0, init=False)
    #: When the query expires, by the poller's clock.
    expires_at: float = field(default=math.inf, init=False)
    #: Future of the result, which is set by `AccountPoller.submit`.
    future: asyncio.Future[QueryResult[T] | Notice | None] = field(init=False)

    @abstractmethod
    def try_resolve(self, extractions: PageCache[Extraction], loads: PageCache[Load]) -> None:
        """Resolve the query from cached pages. If the cached pages are not sufficient, set `requests`."""

    def concerns(self, source: object) -> bool:  # noqa: ARG002
        """Return whether the query may need records of a source, which is given by id or name."""
        return False

    def resolve(self, result: QueryResult[T] | Notice | None) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(eq=False, slots=True)
class ExtractionQuery(Query["Extraction | None"]):
    """A query for the last extraction of a source.

    The result is None if the list does not contain the source.

    :param accept_cached: whether to accept an older cached page if it contains the source.
    """

    source_id: int
    accept_cached: bool = False

    def try_resolve(self, extractions: PageCache[Extraction], loads: PageCache[Load]) -> None:  # noqa: ARG002
        key = SourceKey(self.source_id)
        recent = extractions.pages_after(self.after_sequence)
        usable = extractions.pages_after(ANY_CACHED) if self.accept_cached else recent
        matching = [cached for cached in usable if self.source_id in cached.records]
        if matching:
            extractions.remember_pages(key, matching[-1].page.number)
            self._resolve_or_request_adjacent(matching, usable, extractions.last_page or 1)
            return
        page = extractions.next_page(key, self.after_sequence)
        if page is None:
            self.resolve(_result(recent, None))
        else:
            self.requests = (LimitedRequest(RequestKind.EXTRACTIONS, page),)

    def _resolve_or_request_adjacent(
        self,
        matching: Sequence[CachedPage[Extraction]],
        usable: Sequence[CachedPage[Extraction]],
        last_page: int,
    ) -> None:
        by_number = {cached.page.number: cached for cached in usable}
        adjacent = self._adjacent_pages(matching, last_page)
        missing = adjacent - by_number.keys()
        if missing:
            self.requests = (LimitedRequest(RequestKind.EXTRACTIONS, min(missing)),)
            return
        records = [record for cached in matching for record in cached.records[self.source_id]]
        pages = {cached.page.number: cached for cached in matching}
        pages |= {number: by_number[number] for number in adjacent}
        self.resolve(_result(list(pages.values()), _newest(records)))

    def _adjacent_pages(self, matching: Sequence[CachedPage[Extraction]], last_page: int) -> set[int]:
        """Return the adjacent pages that may contain more records of the source.

        The list of extractions is sorted by source id. If a page starts or ends with a record of the source,
        the adjacent page may contain a newer record.
        """
        pages = set()
        for cached in matching:
            number, records = cached.page.number, cached.page.records
            if records[0].source_id == self.source_id and number > 1:
                pages.add(number - 1)
            if records[-1].source_id == self.source_id and number < last_page:
                pages.add(number + 1)
        return pages

    def concerns(self, source: object) -> bool:
        return source == self.source_id


@dataclass(eq=False, slots=True)
class LoadsQuery(Query["list[Load] | None"]):
    """A query for the loads of a source's streams.

    The result is None if all loads are requested and the list is too long to read in full.

    :param expected_loads: for each stream, its possible load names, and the number of loads that may be
        listed under these names. If the last search of all pages found fewer loads, that smaller number is
        sufficient. If None, all loads of the source are requested.
    """

    source_name: str
    expected_loads: Sequence[tuple[Collection[str], int]] | None

    def try_resolve(self, extractions: PageCache[Extraction], loads: PageCache[Load]) -> None:  # noqa: ARG002
        recent = loads.pages_after(self.after_sequence)
        if self.expected_loads is None and loads.last_page is not None and not loads.is_small:
            self.resolve(_result(recent or list(loads.pages.values()), None))
            return
        found = _loads_in(recent, self.source_name)
        if self.expected_loads is None:
            missing = self._unread_pages(recent, loads)
        else:
            missing = self._pages_to_search(found, loads)
        self.requests = tuple(LimitedRequest(RequestKind.LOADS, page) for page in sorted(missing))
        if not missing:
            self.resolve(_result(recent, found))
            self._remember_pages(recent, loads)
            self._remember_counts(found, loads)

    def concerns(self, source: object) -> bool:
        return source == self.source_name

    def _unread_pages(self, recent: Sequence[CachedPage[Load]], loads: PageCache[Load]) -> set[int]:
        return set(range(1, (loads.last_page or 1) + 1)) - {cached.page.number for cached in recent}

    def _pages_to_search(self, found: Sequence[Load], loads: PageCache[Load]) -> set[int]:
        pages = set()
        counts = Counter(load.stream_name for load in found)
        for names, expected_count in self.expected_loads or ():
            keys = [StreamKey(self.source_name, name) for name in dict.fromkeys(names)]
            found_count = sum(counts[key.stream_name] for key in keys)
            known_count = sum(loads.known_count(key) for key in keys)
            known_pages = {page for key in keys for page in loads.known_pages(key)}
            # Require as many loads as the last full search found, and at least one for each page that
            # contained the stream.
            sufficient_count = max(min(expected_count, known_count), len(known_pages), 1)
            if found_count < sufficient_count:
                # Search for the names that were found before. After that search is complete, search for all
                # names.
                likely = self._next_pages(filter(loads.has_known_page, keys), loads)
                pages |= likely or self._next_pages(keys, loads)
            elif found_count < expected_count:
                # The last full search found no other load, but another load may have been added since.
                likely_pages = {loads.next_page_in_order(key, self.after_sequence) for key in keys}
                pages |= {page for page in likely_pages if page is not None}
        return pages

    def _next_pages(self, keys: Iterable[StreamKey], loads: PageCache[Load]) -> set[int]:
        pages = {loads.next_page(key, self.after_sequence) for key in keys}
        return {page for page in pages if page is not None}

    def _remember_pages(self, recent: Sequence[CachedPage[Load]], loads: PageCache[Load]) -> None:
        pages_by_name: dict[str, list[int]] = {}
        for cached in recent:
            for name in {load.stream_name for load in cached.records.get(self.source_name, ())}:
                pages_by_name.setdefault(name, []).append(cached.page.number)
        for name, pages in pages_by_name.items():
            loads.remember_pages(StreamKey(self.source_name, name), *pages)

    def _remember_counts(self, found: Sequence[Load], loads: PageCache[Load]) -> None:
        counts = Counter(load.stream_name for load in found)
        for names, expected_count in self.expected_loads or ():
            for key in (StreamKey(self.source_name, name) for name in dict.fromkeys(names)):
                is_full_search = expected_count > 1 and loads.next_page(key, self.after_sequence) is None
                if is_full_search:
                    loads.remember_count(key, counts[key.stream_name])


@dataclass(eq=False, slots=True)
class LogQuery(Query[Any]):
    """A query for the log of a job. Logs are never cached."""

    job_name: str

    def try_resolve(self, extractions: PageCache[Extraction], loads: PageCache[Load]) -> None:  # noqa: ARG002
        self.requests = (LimitedRequest(RequestKind.LOG, self.job_name),)


def malformed_record_error(query: Query[Any], page: Page[Any]) -> UnexpectedResponse | None:
    """Return the error of a malformed record that a query may need, or None."""
    return next((each.error for each in page.malformed if query.concerns(each.source)), None)


def raise_if_every_query_needs_malformed(page: Page[Any], queries: Sequence[Query[Any]]) -> None:
    """Raise an error if each of the queries may need a malformed record.

    Malformed records of other sources are ignored.
    """
    errors = [malformed_record_error(query, page) for query in queries] if page.malformed else []
    if errors and errors[0] is not None and None not in errors:
        raise errors[0]


def _newest(records: Sequence[Extraction]) -> Extraction:
    """Return the extraction that started last.

    Earlier extractions are outdated, because Stitch lists one extraction per source.
    """
    return max(records, key=lambda record: exact_start_time(record) or LONG_AGO)


def _result(pages: Sequence[CachedPage[Any]], value: T) -> QueryResult[T]:
    times = [cached.page.responded_at for cached in pages]
    return QueryResult(
        value,
        # A page without a time may be older than all other pages.
        stitch_time=None if None in times else min(filter(None, times), default=None),
        requested_at=min((cached.requested_at for cached in pages), default=float("-inf")),
        sequence=min((cached.sequence for cached in pages), default=ANY_CACHED),
        pages=tuple(cached.page.number for cached in pages),
    )


def _loads_in(pages: Sequence[CachedPage[Load]], source_name: str) -> list[Load]:
    found: list[Load] = []
    found_by_stream: dict[str, list[Load]] = {}  # for a fast search in up to 10,000 loads
    for cached in pages:
        # A record that moved between two requests may be on two pages, but is included only once. Equal
        # records on the same page are different loads.
        records = cached.records.get(source_name, ())
        new = [load for load in records if load not in found_by_stream.get(load.stream_name, ())]
        for load in new:
            found_by_stream.setdefault(load.stream_name, []).append(load)
        found += new
    return found
