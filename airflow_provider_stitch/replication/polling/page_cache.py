"""Cache the pages of a list, and detect how the list is sorted.

A sort order is checked against the cached pages before it is used, because Stitch documents two different
sort orders for the list of loads. Source: Stitch Connect API, "Pagination", "List last loads for an account".
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

# Maximum number of records that may shift from one page to another between two requests. If a larger number
# of records are on the wrong page, the page violates the order.
MAX_SHIFTED = 50

# An order is not used if more than 2 of the last 10 pages violated it. Two violations are allowed, because
# hundreds of records may be added to a list at once.
RECENT_PAGES = 10
MAX_VIOLATIONS = 2

# Number of adjacent record pairs that prove an order that Stitch does not guarantee. A single pair of records
# is in order by chance with a probability of 1/2.
MIN_EVIDENCE = 16

# Number of records at each end of a page that are kept after the page is dropped. A single record is not
# enough, because its sort key may be unknown.
ENDS_KEPT = 3

# Number of pages that are added before a cached page is dropped. The records at both ends of a page are
# enough to find the page again.
PAGES_KEPT = 30

# The result of a full search for the records with a key is used until this number of requests per page of the
# list has been sent. Full searches therefore need at most a tenth of all requests.
COUNT_KEPT = 10


class SourceKey(NamedTuple):
    """The sort key of an extraction in the list of extractions."""

    source_id: int


class StreamKey(NamedTuple):
    """The sort key of a load in the list of loads."""

    source_name: str
    stream_name: str


@dataclass(frozen=True, slots=True)
class CachedPage(Generic[T]):
    """One page of a list as Stitch returned it."""

    page: Page[T]
    sequence: int  #: sequence number of the request
    requested_at: float  #: time of the request in seconds, by this machine's clock
    records: Mapping[Hashable, tuple[T, ...]]  #: records, grouped by the id or name of the source


class PageCache(Generic[T]):
    """The latest cached pages of one list.

    The sort order of a list determines which page to fetch next. If the order is proven, a search can end
    before all pages were fetched. If no order is proven, a search ends only after each page was fetched once.

    :param sort_keys: one function for each possible order. Each function returns a record's sort key, which
        is a `SourceKey` or a `StreamKey`. If a single page contradicts an order, the cache never uses the
        order again. If only two pages together contradict an order, the cache records a violation, because
        the list may have changed between the two requests. The cache uses the order with the fewest
        violations. If several orders have equally few violations, the cache uses the first such order.
    :param small: a list with at most this number of pages is read in full instead of searched.
    :param is_documented: whether Stitch documents the first order. If True, the first order is used until a
        page contradicts it.
    """

    def __init__(
        self, sort_keys: Sequence[Callable[[Any], Any]], *, small: int = 1, is_documented: bool = False
    ) -> None:
        self.pages: dict[int, CachedPage[T]] = {}
        self.last_page: int | None = None
        self._orders = [SortOrder(key_of) for key_of in sort_keys]
        self._small = small
        self._is_documented = is_documented
        self._ends: dict[int, Sequence[T]] = {}  # first and last records of each fetched page, by page number
        self._older_bounds: tuple[Callable[[Any], Any], dict[int, PageBounds]] | None = None
        self._known_pages: dict[Hashable, tuple[int, ...]] = {}
        # Number of records that the last full search found, and the value of `_added` at that time.
        self._counts: dict[Hashable, tuple[int, int]] = {}
        self._added = 0  # number of pages added so far
        self._added_at: dict[int, int] = {}  # the value of `_added` when each page was last added

    @property
    def stream_id_index(self) -> StreamIdIndex | None:
        """The index of stream ids, or None if the list is probably not sorted by stream id.

        The list itself does not contain stream ids.
        """
        first = next(iter(self._usable_orders()), None)
        return first.key_of if first is not None and isinstance(first.key_of, StreamIdIndex) else None

    @property
    def is_small(self) -> bool:
        return self.last_page is not None and self.last_page <= self._small

    def add(self, cached: CachedPage[T], oldest_needed: float) -> None:
        """Add a page, and drop outdated pages.

        :param oldest_needed: a sequence number. Pages with a higher sequence number are kept, because a query
            needs them.
        """
        page = cached.page
        self._added += 1
        # The number of pages is computed from `total`, but Stitch does not document that `total` is exact.
        self.last_page = max(page.last_page, page.next_page or 1, page.number if page.records else 1)
        self.pages[page.number], self._added_at[page.number] = cached, self._added
        self.pages = {
            number: each
            for number, each in self.pages.items()
            if number <= self.last_page
            and (each.sequence > oldest_needed or self._added - self._added_at[number] < PAGES_KEPT)
        }
        self._ends[page.number] = (*page.records[:ENDS_KEPT], *page.records[-ENDS_KEPT:])
        self._ends = {number: ends for number, ends in self._ends.items() if number <= self.last_page}
        self._older_bounds = None
        for order in list(self._orders):
            if not isinstance(order.key_of, StreamIdIndex):  # stream ids are loaded later
                self._check_order(order, cached)

    def check_stream_id_order(self) -> None:
        """Check the latest page against the order by stream id. Call this method after loading stream ids."""
        latest = max(self.pages.values(), key=lambda cached: cached.sequence, default=None)
        if latest is None:
            return  # the page no longer exists, because the list has become shorter
        for order in list(self._orders):
            if isinstance(order.key_of, StreamIdIndex):
                self._check_order(order, latest)
                self._older_bounds = None

    def remember_pages(self, key: Hashable, *pages: int) -> None:
        """Remember which pages contained the records with a key."""
        self._known_pages[key] = pages

    def known_pages(self, key: Hashable) -> tuple[int, ...]:
        """Return the pages on which the records with a key were last found."""
        return self._known_pages.get(key, ())

    def has_known_page(self, key: Hashable) -> bool:
        """Return whether a record with a key was found before."""
        return key in self._known_pages

    def remember_count(self, key: Hashable, records: int) -> None:
        """Remember how many records with a key were found in a search of all relevant pages."""
        self._counts[key] = records, self._added

    def known_count(self, key: Hashable) -> float:
        """Return how many records with a key were found in a recent full search.

        If there was no recent full search, return infinity.
        """
        records, added = self._counts.get(key, (0, -math.inf))
        return records if self._added - added < COUNT_KEPT * (self.last_page or 1) else math.inf

    def pages_after(self, sequence: int) -> list[CachedPage[T]]:
        """Return the pages that were requested after a sequence number, oldest first."""
        recent = (each for each in self.pages.values() if each.sequence > sequence)
        return sorted(recent, key=lambda cached: cached.sequence)

    def next_page(self, key: SourceKey | StreamKey, after_sequence: int) -> int | None:
        """Return the page to fetch next in a search for all records with a key.

        Pages that were requested after `after_sequence` are not fetched again. Return None if all records
        with the key are on pages that were requested after `after_sequence`.
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
        # The middle page provides the most information about the order. If no order is known, read the list
        # in full.
        pages = [*(known or [1]), (last_page + 1) // 2, *range(1, last_page + 1)]
        return next((page for page in pages if page not in recent and page <= last_page), None)

    def next_page_in_order(self, key: SourceKey | StreamKey, after_sequence: int) -> int | None:
        """Return the page to fetch next in a search for the page that should contain a key.

        The most likely order determines which page should contain the key. Return None if this page was
        requested after `after_sequence`, or if no order is known.
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
        """Return the possible orders, sorted by their number of violations.

        If the list is short or only one page is known, it may be sorted by chance, so no order is returned.
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

    key_of: Callable[[Any], Any]  #: returns the sort key of a record, or None if it is unknown
    evidence: int = 0  #: number of pairs of adjacent records, on all pages, that confirm this order
    #: Whether each of the latest pages violated this order.
    violations: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT_PAGES))
    comparable_since: int = -1  #: sequence number of the latest page that violated the order


def _all_bounds(pages: Mapping[int, Sequence[Any]], key_of: Callable[[Any], Any]) -> dict[int, PageBounds]:
    """Return the bounds of all pages that are empty or contain a record with a known sort key."""
    bounds = {}
    for number, records in pages.items():
        first, last = _first_key(records, key_of), _first_key(records[::-1], key_of)
        if first is not None or not records:
            bounds[number] = PageBounds(first, last)
    return bounds


def _first_key(records: Sequence[Any], key_of: Callable[[Any], Any]) -> Any:
    return next((key for record in records if (key := key_of(record)) is not None), None)


def _ascending_pairs(records: Sequence[Any], key_of: Callable[[Any], Any]) -> int:
    """Return how many pairs of adjacent records from different sources are in ascending order.

    Pairs of records from the same source are ignored, because records may be sorted only within each source.
    """
    known = [(record.source_name, key) for record in records if (key := key_of(record)) is not None]
    return sum(one[0] != other[0] and one[1] < other[1] for one, other in pairwise(known))


def _misplaced(keys: Sequence[Any], other: PageBounds, *, is_later: bool) -> int:
    """Return how many keys on a page contradict the page's position before or after another page.

    :param is_later: whether the page with the keys comes after the other page.
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

    Stitch documents in one place that loads are sorted by stream name, A-Z, and in another place that they
    are sorted by stream id. The list of loads does not contain stream ids.
    """
    by_name = [
        by_stream_and_source,
        by_stream,
        by_stream_and_source_ignoring_case,
        by_stream_ignoring_case,
    ]
    return PageCache([*by_name, StreamIdIndex()], small=5)
