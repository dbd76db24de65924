"""What is known of a list that comes in pages: the latest look at each page, and in which order it is.

Which order a list is in is learned from its pages before it is trusted: Stitch's documentation tells that of
the loads in two ways. Source: Stitch Connect API, "Pagination", "List last loads for an account".
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from airflow_provider_stitch.replication.pages import PageSeen, next_page
from airflow_provider_stitch.replication.stream_ids import StreamIds

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from airflow_provider_stitch.connect.objects import Page

T = TypeVar("T")

# Records that may have shifted from one page to the next between two looks; more speak against an order.
MOST_SHIFTED = 50

# Of the latest so many looks so many may speak against an order: hundreds of records may come at once, too.
LATEST_LOOKS = 10
MOST_DOUBTS = 2

# An order that a list need not have must be seen in so many pairs of neighbours before it ends a search: that
# one pair is in order by chance is as likely as not.
MIN_EVIDENCE = 16

# Records at each end of a page that are kept for good: of one alone the place in an order may not be known.
ENDS_KEPT = 3

# What a page holds of a list is dropped so many requests later: its ends are enough to find it again.
LOOKS_KEPT = 30

# A search through all pages for further records of a key is repeated after so many requests per page of the
# list, so that such searches take at most a tenth of all requests.
COUNT_KEPT = 10


class SourceKey(NamedTuple):
    """What an extraction is found by."""

    source_id: int


class StreamKey(NamedTuple):
    """What a load is found by."""

    source_name: str
    stream_name: str


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """One page as it was answered."""

    page: Page[T]
    serial: int  #: the how-manieth request of the account it was
    asked_at: float  #: seconds of this machine's clock
    records: Mapping[Hashable, tuple[T, ...]]  #: by source id, or source name


class Listing(Generic[T]):
    """The latest looks at the pages of one list.

    An order says which page to read next. It also says that no other page can contain a record, but only if
    it is proven; otherwise a search ends when it has read each page once.

    :param orders: in which orders the list may be: what makes a record's key, or that of a `SourceKey` or
        `StreamKey`. A page that is not in an order refutes it for ever; two pages that contradict each other
        may do so because the list has changed in between. The first of those least in doubt holds.
    :param small: a list of so many pages is read through and not searched.
    :param is_documented: the list is in the first of the orders until a page refutes it.
    """

    def __init__(
        self, orders: Sequence[Callable[[Any], Any]], *, small: int = 1, is_documented: bool = False
    ) -> None:
        self.looks: dict[int, Look[T]] = {}
        self.last_page: int | None = None
        self._orders = [_Order(key_of) for key_of in orders]
        self._small = small
        self._is_documented = is_documented
        self._seen: dict[int, Sequence[T]] = {}  # both ends of each page ever looked at, by number
        self._older_ends: tuple[Callable[[Any], Any], dict[int, PageSeen]] | None = None
        self._places: dict[Hashable, tuple[int, ...]] = {}
        self._counts: dict[Hashable, tuple[int, int]] = {}  # records, and `_added` then
        self._added = 0  # pages

    @property
    def hidden_order(self) -> StreamIds | None:
        """The order by what the list does not show, if all others are in doubt."""
        first = next(iter(self._usable_orders()), None)
        return first.key_of if first is not None and isinstance(first.key_of, StreamIds) else None

    @property
    def is_small(self) -> bool:
        return self.last_page is not None and self.last_page <= self._small

    def add(self, look: Look[T], needed_since: float) -> None:
        """Take in the answer to a request for a page.

        :param needed_since: somebody still searches among the looks after this one.
        """
        page = look.page
        self._added += 1
        # `total` is what tells how many pages there are, but nothing says that it is exact.
        self.last_page = max(page.last_page, page.next_page or 1, page.number if page.records else 1)
        kept_since = min(needed_since, look.serial - LOOKS_KEPT)
        self.looks[page.number] = look
        self.looks = {
            number: each
            for number, each in self.looks.items()
            if number <= self.last_page and each.serial > kept_since
        }
        self._seen[page.number] = (*page.records[:ENDS_KEPT], *page.records[-ENDS_KEPT:])
        self._seen = {number: ends for number, ends in self._seen.items() if number <= self.last_page}
        self._older_ends = None
        for order in list(self._orders):
            if not isinstance(order.key_of, StreamIds):  # it has to be learned first
                self._judge(order, look)

    def learned(self) -> None:
        """Take in that the places of the latest look's records in the hidden order are known now."""
        latest = max(self.looks.values(), key=lambda look: look.serial, default=None)
        if latest is None:
            return  # meanwhile the list has become so short that the page is gone
        for order in list(self._orders):
            if isinstance(order.key_of, StreamIds):
                self._judge(order, latest)
                self._older_ends = None

    def remember(self, key: Hashable, *pages: int) -> None:
        """Remember on which pages the records of a key were."""
        self._places[key] = pages

    def pages_of(self, key: Hashable) -> tuple[int, ...]:
        """Return the pages on which records of a key were found last."""
        return self._places.get(key, ())

    def remember_count(self, key: Hashable, records: int) -> None:
        """Remember how many records of a key a search found that read all pages which can contain one."""
        self._counts[key] = records, self._added

    def count_of(self, key: Hashable) -> float:
        """Return how many records of a key a recent search found in all pages; infinity if none was made."""
        records, added = self._counts.get(key, (0, -math.inf))
        return records if self._added - added < COUNT_KEPT * (self.last_page or 1) else math.inf

    def is_placed(self, key: Hashable) -> bool:
        """Say whether a record of this key was ever found."""
        return key in self._places

    def since(self, serial: int) -> list[Look[T]]:
        """Return the looks that were asked for after a request, the latest last."""
        return sorted((each for each in self.looks.values() if each.serial > serial), key=lambda e: e.serial)

    def next_page(self, key: SourceKey | StreamKey, since: int) -> int | None:
        """Return the page to read next in search of a record; None if the pages read after `since` show all
        that there is of it. It never returns a page that was read after `since`."""
        fresh = {number: look for number, look in self.looks.items() if look.serial > since}
        places = [page for page in self._places.get(key, ()) if page <= (self.last_page or page)]
        if len(places) > 1 and (unread := [page for page in places if page not in fresh]):
            return unread[0]
        for order in self._usable_orders():
            if order.key_of(key) is None:
                continue
            newer = {number: look.page.records for number, look in fresh.items()}
            page = next_page(
                order.key_of(key),
                _all_ends(newer, order.key_of),
                self.last_page,
                place=places[0] if places else None,
                older=self._ends_in(order.key_of),
                read=fresh,
            )
            if page is not None or self._is_proven(order):
                return page
        last_page = self.last_page or 1
        # The middle tells most of the order, if there is any; else the list is read through.
        pages = [*(places or [1]), (last_page + 1) // 2, *range(1, last_page + 1)]
        return next((page for page in pages if page not in fresh and page <= last_page), None)

    def _usable_orders(self) -> list[_Order]:
        """Return the orders that are not refuted, the least doubtful first; none as long as one page or a
        short list may be in them by chance."""
        is_learned = self._is_documented or len(self._seen) > 1
        if self.is_small or not is_learned:
            return []
        likely = [order for order in self._orders if sum(order.doubts) <= MOST_DOUBTS]
        return sorted(likely, key=lambda order: sum(order.doubts))

    def _is_proven(self, order: _Order) -> bool:
        if self._is_documented:
            return True
        return order.evidence >= MIN_EVIDENCE and not any(order.doubts)

    def _ends_in(self, key_of: Callable[[Any], Any]) -> dict[int, PageSeen]:
        if self._older_ends is None or self._older_ends[0] is not key_of:
            self._older_ends = (key_of, _all_ends(self._seen, key_of))
        return self._older_ends[1]

    def _judge(self, order: _Order, look: Look[T]) -> None:
        keys = [key for record in look.page.records if (key := order.key_of(record)) is not None]
        if any(one > other for one, other in pairwise(keys)):
            self._orders.remove(order)
            return
        if not self._is_documented:
            order.evidence += _ascents(look.page.records, order.key_of)
        others = {
            number: other.page.records
            for number, other in self.looks.items()
            if number != look.page.number and other.serial >= order.comparable_since and other.page.records
        }
        is_doubtful = any(
            _misplaced(keys, ends, is_later=look.page.number > other) > MOST_SHIFTED
            for other, ends in _all_ends(others, order.key_of).items()
        )
        order.doubts.append(is_doubtful)
        if is_doubtful:
            order.comparable_since = look.serial


@dataclass(eq=False)
class _Order:
    """An order that a list may be in."""

    key_of: Callable[[Any], Any]  #: None for a record whose place in it is not known
    evidence: int = 0  #: pairs of neighbours that were seen in this order, in all pages together
    doubts: deque[bool] = field(default_factory=lambda: deque(maxlen=LATEST_LOOKS))
    comparable_since: int = -1  #: the serial of the look from which on no page has contradicted another


def _all_ends(pages: Mapping[int, Sequence[Any]], key_of: Callable[[Any], Any]) -> dict[int, PageSeen]:
    """Return the ends of pages in an order, but not of those whose place in it is not known."""
    ends = {}
    for number, records in pages.items():
        first, last = _first_key(records, key_of), _first_key(records[::-1], key_of)
        if first is not None or not records:
            ends[number] = PageSeen(first, last)
    return ends


def _first_key(records: Sequence[Any], key_of: Callable[[Any], Any]) -> Any:
    return next((key for record in records if (key := key_of(record)) is not None), None)


def _ascents(records: Sequence[Any], key_of: Callable[[Any], Any]) -> int:
    """Return how many pairs of neighbours prove an order: the records of one source alone may be in it."""
    known = [(record.source_name, key) for record in records if (key := key_of(record)) is not None]
    return sum(one[0] != other[0] and one[1] < other[1] for one, other in pairwise(known))


def _misplaced(keys: Sequence[Any], other: PageSeen, *, is_later: bool) -> int:
    """Return how many keys of a page belong on the wrong side of another page's end."""
    return bisect_left(keys, other.last) if is_later else len(keys) - bisect_right(keys, other.first)


def by_source_id(record: Any) -> int:
    source_id: int = record.source_id
    return source_id


def by_stream_and_source(record: Any) -> tuple[str, str]:
    return record.stream_name, record.source_name


def by_stream(record: Any) -> tuple[str]:
    return (record.stream_name,)


def by_stream_of_any_case_and_source(record: Any) -> tuple[str, str]:
    return record.stream_name.casefold(), record.source_name.casefold()


def by_stream_of_any_case(record: Any) -> tuple[str]:
    return (record.stream_name.casefold(),)


def extractions() -> Listing[Any]:
    """Return an empty list of extractions. They are ordered by source id."""
    return Listing([by_source_id], is_documented=True)


def loads() -> Listing[Any]:
    """Return an empty list of loads.

    They are said to be ordered by stream name, A-Z, and elsewhere by stream id, which they do not show.
    """
    by_name = [by_stream_and_source, by_stream, by_stream_of_any_case_and_source, by_stream_of_any_case]
    return Listing([*by_name, StreamIds()], small=5)
