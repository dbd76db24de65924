"""Cache the pages of a list, and detect how the list is sorted.

An order is verified on the pages before it is used, because Stitch documents the order of loads in two
different ways. Source: Stitch Connect API, "Pagination", "List last loads for an account".
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from airflow_provider_stitch.replication.polling.page_search import PageBounds, next_page_to_fetch
from airflow_provider_stitch.replication.polling.stream_ids import StreamIdIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from airflow_provider_stitch.connect.objects import Page

T = TypeVar("T")

# Records that may shift from one page to another between two requests. If more records are on the wrong page,
# the page violates the order.
MAX_SHIFTED = 50

# An order is not used if more than 2 of the last 10 pages violated it. Two are allowed, because hundreds of
# records may be added to a list at once.
RECENT_PAGES = 10
MAX_VIOLATIONS = 2

# Adjacent records in the expected order that prove an order which Stitch does not guarantee. A single pair of
# records is in order by chance with probability 1/2.
MIN_EVIDENCE = 16

# Records at each end of a page that are kept after the page is dropped. One is not enough, because the sort
# key of a record may be unknown.
ENDS_KEPT = 3

# Requests after which a cached page is dropped. Its ends are enough to find it again.
PAGES_KEPT = 30

# Requests per page of the list after which a search of all pages for more records of a key is repeated.
# Such searches then take at most a tenth of all requests.
COUNT_KEPT = 10


class SourceKey(NamedTuple):
    """The key of an extraction."""

    source_id: int


class StreamKey(NamedTuple):
    """The key of a load."""

    source_name: str
    stream_name: str


@dataclass(frozen=True, slots=True)
class CachedPage(Generic[T]):
    """One page of a list as Stitch returned it."""

    page: Page[T]
    sequence: int  #: number of the request
    requested_at: float  #: seconds of this machine's clock
    records: Mapping[Hashable, tuple[T, ...]]  #: by source id, or by source name


class PageCache(Generic[T]):
    """The latest cached pages of one list.

    A sort order determines which page to fetch next. It also excludes that other pages contain a record, but
    only if it is proven; otherwise a search ends after it has fetched each page once.

    :param sort_keys: the possible orders, as functions that return the sort key of a record, a `SourceKey` or
        a `StreamKey`. A page that is not sorted refutes an order permanently. Two pages that contradict each
        other only count as a violation, because the list may have changed between the two requests. The first
        of the orders with the fewest violations is used.
    :param small: a list of up to this many pages is read in full and not searched.
    :param is_documented: the list has the first of the orders unless a page refutes it.
    """

    def __init__(
        self, sort_keys: Sequence[Callable[[Any], Any]], *, small: int = 1, is_documented: bool = False
    ) -> None:
        self.pages: dict[int, CachedPage[T]] = {}
        self.last_page: int | None = None
        self._orders = [SortOrder(key_of) for key_of in sort_keys]
        self._small = small
        self._is_documented = is_documented
        self._ends: dict[int, Sequence[T]] = {}  # both ends of each page that was ever fetched, by number
        self._older_bounds: tuple[Callable[[Any], Any], dict[int, PageBounds]] | None = None
        self._known_pages: dict[Hashable, tuple[int, ...]] = {}
        self._counts: dict[Hashable, tuple[int, int]] = {}  # records, and `_added` at that time
        self._added = 0  # pages

    @property
    def stream_id_index(self) -> StreamIdIndex | None:
        """The index of stream ids if the list is most likely sorted by them; it does not contain them."""
        first = next(iter(self._usable_orders()), None)
        return first.key_of if first is not None and isinstance(first.key_of, StreamIdIndex) else None

    @property
    def is_small(self) -> bool:
        return self.last_page is not None and self.last_page <= self._small

    def add(self, cached: CachedPage[T], oldest_needed: float) -> None:
        """Add a page, and drop outdated ones.

        :param oldest_needed: keep pages with a higher sequence number, because a query still uses them.
        """
        page = cached.page
        self._added += 1
        # The number of pages follows from `total`, but Stitch does not document that it is exact.
        self.last_page = max(page.last_page, page.next_page or 1, page.number if page.records else 1)
        kept_after = min(oldest_needed, cached.sequence - PAGES_KEPT)
        self.pages[page.number] = cached
        self.pages = {
            number: each
            for number, each in self.pages.items()
            if number <= self.last_page and each.sequence > kept_after
        }
        self._ends[page.number] = (*page.records[:ENDS_KEPT], *page.records[-ENDS_KEPT:])
        self._ends = {number: ends for number, ends in self._ends.items() if number <= self.last_page}
        self._older_bounds = None
        for order in list(self._orders):
            if not isinstance(order.key_of, StreamIdIndex):  # its stream ids must be loaded first
                self._check_order(order, cached)

    def check_stream_id_order(self) -> None:
        """Check the latest page against the order by stream id, after stream ids were loaded."""
        latest = max(self.pages.values(), key=lambda cached: cached.sequence, default=None)
        if latest is None:
            return  # the list has become shorter, and the page no longer exists
        for order in list(self._orders):
            if isinstance(order.key_of, StreamIdIndex):
                self._check_order(order, latest)
                self._older_bounds = None

    def remember_pages(self, key: Hashable, *pages: int) -> None:
        """Remember the pages that contained the records of a key."""
        self._known_pages[key] = pages

    def known_pages(self, key: Hashable) -> tuple[int, ...]:
        """Return the pages that contained the records of a key when they were last found."""
        return self._known_pages.get(key, ())

    def has_known_page(self, key: Hashable) -> bool:
        """Return whether a record of this key was ever found."""
        return key in self._known_pages

    def remember_count(self, key: Hashable, records: int) -> None:
        """Remember how many records of a key a search of all relevant pages has found."""
        self._counts[key] = records, self._added

    def known_count(self, key: Hashable) -> float:
        """Return how many records of a key a recent full search has found, or infinity without one."""
        records, added = self._counts.get(key, (0, -math.inf))
        return records if self._added - added < COUNT_KEPT * (self.last_page or 1) else math.inf

    def pages_after(self, sequence: int) -> list[CachedPage[T]]:
        """Return the pages of the requests after one with this sequence number, the latest last."""
        recent = (each for each in self.pages.values() if each.sequence > sequence)
        return sorted(recent, key=lambda cached: cached.sequence)

    def next_page(self, key: SourceKey | StreamKey, after_sequence: int) -> int | None:
        """Return the page to fetch next in search of a key's records.

        Return None if the pages that were requested after `after_sequence` contain all of them. These pages
        are never returned.
        """
        recent = self._recent(after_sequence)
        known = self._listed_known_pages(key)
        if len(known) > 1 and (missing := [page for page in known if page not in recent]):
            return missing[0]
        for order in self._usable_orders():
            if order.key_of(key) is None:
                continue
            page = self._next_page_in(order, key, recent, known)
            if page is not None or self._is_proven(order):
                return page
        last_page = self.last_page or 1
        # The middle page reveals most about the order. Without any order, the list is read in full.
        pages = [*(known or [1]), (last_page + 1) // 2, *range(1, last_page + 1)]
        return next((page for page in pages if page not in recent and page <= last_page), None)

    def next_page_in_order(self, key: SourceKey | StreamKey, after_sequence: int) -> int | None:
        """Return the page to fetch next to reach the page on which the likeliest order places a key.

        Return None if that page was requested after `after_sequence`, or no order is known.
        """
        order = next((each for each in self._usable_orders() if each.key_of(key) is not None), None)
        if order is None:
            return None
        return self._next_page_in(order, key, self._recent(after_sequence), self._listed_known_pages(key))

    def _recent(self, after_sequence: int) -> dict[int, CachedPage[T]]:
        return {number: cached for number, cached in self.pages.items() if cached.sequence > after_sequence}

    def _listed_known_pages(self, key: Hashable) -> list[int]:
        return [page for page in self._known_pages.get(key, ()) if page <= (self.last_page or page)]

    def _next_page_in(
        self,
        order: SortOrder,
        key: SourceKey | StreamKey,
        recent: Mapping[int, CachedPage[T]],
        known: Sequence[int],
    ) -> int | None:
        records = {number: cached.page.records for number, cached in recent.items()}
        return next_page_to_fetch(
            order.key_of(key),
            _all_bounds(records, order.key_of),
            self.last_page,
            last_known_page=known[0] if known else None,
            older_bounds=self._bounds_of_ends(order.key_of),
            fetched=recent,
        )

    def _usable_orders(self) -> list[SortOrder]:
        """Return the orders that are not refuted, those with the fewest violations first.

        Return none while a single page or a short list may be sorted by chance.
        """
        is_learned = self._is_documented or len(self._ends) > 1
        if self.is_small or not is_learned:
            return []
        likely = [order for order in self._orders if sum(order.violations) <= MAX_VIOLATIONS]
        return sorted(likely, key=lambda order: sum(order.violations))

    def _is_proven(self, order: SortOrder) -> bool:
        if self._is_documented:
            return True
        return order.evidence >= MIN_EVIDENCE and not any(order.violations)

    def _bounds_of_ends(self, key_of: Callable[[Any], Any]) -> dict[int, PageBounds]:
        if self._older_bounds is None or self._older_bounds[0] is not key_of:
            self._older_bounds = (key_of, _all_bounds(self._ends, key_of))
        return self._older_bounds[1]

    def _check_order(self, order: SortOrder, cached: CachedPage[T]) -> None:
        keys = [key for record in cached.page.records if (key := order.key_of(record)) is not None]
        if any(one > other for one, other in pairwise(keys)):
            self._orders.remove(order)
            return
        if not self._is_documented:
            order.evidence += _ascending_pairs(cached.page.records, order.key_of)
        others = {
            number: other.page.records
            for number, other in self.pages.items()
            if number != cached.page.number
            and other.sequence >= order.comparable_since
            and other.page.records
        }
        is_violated = any(
            _misplaced(keys, bounds, is_later=cached.page.number > other) > MAX_SHIFTED
            for other, bounds in _all_bounds(others, order.key_of).items()
        )
        order.violations.append(is_violated)
        if is_violated:
            order.comparable_since = cached.sequence


@dataclass(eq=False)
class SortOrder:
    """A possible order of a list."""

    key_of: Callable[[Any], Any]  #: returns None if the sort key of a record is unknown
    evidence: int = 0  #: pairs of adjacent records in this order, in all pages together
    violations: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT_PAGES))  #: one per page
    comparable_since: int = -1  #: sequence number of the latest page that violated the order


def _all_bounds(pages: Mapping[int, Sequence[Any]], key_of: Callable[[Any], Any]) -> dict[int, PageBounds]:
    """Return the bounds of all pages that have a record with a known sort key."""
    bounds = {}
    for number, records in pages.items():
        first, last = _first_key(records, key_of), _first_key(records[::-1], key_of)
        if first is not None or not records:
            bounds[number] = PageBounds(first, last)
    return bounds


def _first_key(records: Sequence[Any], key_of: Callable[[Any], Any]) -> Any:
    return next((key for record in records if (key := key_of(record)) is not None), None)


def _ascending_pairs(records: Sequence[Any], key_of: Callable[[Any], Any]) -> int:
    """Return how many adjacent records of different sources are in ascending order.

    Records of the same source do not count, because they may be sorted within a source only.
    """
    known = [(record.source_name, key) for record in records if (key := key_of(record)) is not None]
    return sum(one[0] != other[0] and one[1] < other[1] for one, other in pairwise(known))


def _misplaced(keys: Sequence[Any], other: PageBounds, *, is_later: bool) -> int:
    """Return how many keys of a page should be on the other side of another page.

    :param is_later: the keys' page comes after the other page.
    """
    return bisect_left(keys, other.last) if is_later else len(keys) - bisect_right(keys, other.first)


def by_source_id(record: Any) -> int:
    source_id: int = record.source_id
    return source_id


def by_stream_and_source(record: Any) -> tuple[str, str]:
    return record.stream_name, record.source_name


def by_stream(record: Any) -> tuple[str]:
    return (record.stream_name,)


def by_stream_and_source_ignoring_case(record: Any) -> tuple[str, str]:
    return record.stream_name.casefold(), record.source_name.casefold()


def by_stream_ignoring_case(record: Any) -> tuple[str]:
    return (record.stream_name.casefold(),)


def extractions_cache() -> PageCache[Any]:
    """Return an empty cache for the list of extractions, which is sorted by source id."""
    return PageCache([by_source_id], is_documented=True)


def loads_cache() -> PageCache[Any]:
    """Return an empty cache for the list of loads.

    Stitch documents that loads are sorted by stream name, A-Z, and in another place that they are sorted by
    stream id, which the list does not contain.
    """
    by_name = [
        by_stream_and_source,
        by_stream,
        by_stream_and_source_ignoring_case,
        by_stream_ignoring_case,
    ]
    return PageCache([*by_name, StreamIdIndex()], small=5)
