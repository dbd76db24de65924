"""What is known of a list that comes in pages: the latest look at each page, and in which order it is.

Which order a list is in is learned from its pages before it is trusted: Stitch's documentation tells that of
the loads in two ways. Source: Stitch Connect API, "Pagination", "List last loads for an account".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from airflow_provider_stitch.replication.pages import PageSeen, likely_page, next_page
from airflow_provider_stitch.replication.stream_ids import StreamIds

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from airflow_provider_stitch.connect.objects import Page

T = TypeVar("T")

# Records that may have shifted from one page to the next between two looks; more are no shift but disorder.
MOST_SHIFTED = 50

# What a page holds of a list is dropped so many requests later: its ends are enough to find it again.
LOOKS_KEPT = 30


class SourceKey(NamedTuple):
    """What an extraction is found by."""

    source_id: int


class StreamKey(NamedTuple):
    """What a load is found by."""

    source_name: str
    stream_name: str


@dataclass(frozen=True)
class Look(Generic[T]):
    """One page as it was answered."""

    page: Page[T]
    serial: int  #: the how-manieth request of the account it was
    asked_at: float  #: seconds of this machine's clock
    records: Mapping[Hashable, tuple[T, ...]]  #: by source id, or source name


class Listing(Generic[T]):
    """The latest looks at the pages of one list.

    :param orders: in which orders the list may be: what makes a record's key, or that of a `SourceKey` or
        `StreamKey`. The first that no page has refuted holds.
    :param small: a list of so many pages is read through and not searched.
    """

    def __init__(self, orders: Sequence[Callable[[Any], Any]], *, small: int = 1) -> None:
        self.looks: dict[int, Look[T]] = {}
        self.last_page: int | None = None
        self._orders = list(orders)
        self._small = small
        self._seen: dict[int, list[Any]] = {}  # the keys of both ends of each page ever looked at, by number
        self._places: dict[Hashable, int] = {}

    @property
    def hidden_order(self) -> StreamIds | None:
        """The order by what the list does not show, once all others are refuted."""
        order = self._orders[0] if self._orders and not self.is_small else None
        return order if isinstance(order, StreamIds) else None

    def refute(self) -> None:
        """Take in what was learned since of the order of the pages' records."""
        for number, look in self.looks.items():
            self._orders = [order for order in self._orders if self._obeys(look.page.records, number, order)]

    @property
    def is_small(self) -> bool:
        return self.last_page is not None and self.last_page <= self._small

    def add(self, look: Look[T], needed_since: float) -> None:
        """Take in the answer to a request for a page.

        :param needed_since: somebody still searches among the looks after this one.
        """
        page = look.page
        self.looks[page.number] = look
        # `total` is what tells how many pages there are, but nothing says that it is exact.
        self.last_page = max(page.last_page, page.next_page or 1, page.number if page.records else 1)
        self.looks = {number: each for number, each in self.looks.items() if number <= self.last_page}
        for number in [number for number in self._seen if number > self.last_page]:
            del self._seen[number]
        self._seen[page.number] = [page.records[0], page.records[-1]] if page.records else []
        self._orders = [order for order in self._orders if self._obeys(page.records, page.number, order)]
        kept_since = min(needed_since, look.serial - LOOKS_KEPT)
        self.looks = {number: each for number, each in self.looks.items() if each.serial > kept_since}

    def remember(self, key: Hashable, page: int) -> None:
        """Remember on which page a record was."""
        self._places[key] = page

    def since(self, serial: int) -> list[Look[T]]:
        """Return the looks that were asked for after a request, the latest last."""
        return sorted((each for each in self.looks.values() if each.serial > serial), key=lambda e: e.serial)

    def next_page(self, key: SourceKey | StreamKey, since: int) -> int | None:
        """Return the page to look at next for a record, or None: those after `since` show all that there is
        of it."""
        fresh = {number: look for number, look in self.looks.items() if look.serial > since}
        order = self._order(key)
        last_page = self.last_page or 1
        if order is None:
            # The middle tells most of the order, if there is any; else the list is read through.
            pages = [self._places.get(key, 1), (last_page + 1) // 2, *range(1, last_page + 1)]
            return next((page for page in pages if page not in fresh and page <= last_page), None)
        wanted = order(key)
        hint = self._places.get(key) or likely_page(wanted, _all_ends(self._seen, order), self.last_page)
        newer = {number: look.page.records for number, look in fresh.items()}
        return next_page(wanted, _all_ends(newer, order), self.last_page, hint)

    def _order(self, key: SourceKey | StreamKey) -> Callable[[Any], Any] | None:
        if self.is_small or not self._orders:
            return None
        # One page of a list may be in order by chance, or for being all of one source.
        is_learned = self._small == 1 or len(self._seen) > 1
        order = self._orders[0]
        return order if is_learned and order(key) is not None else None

    def _obeys(self, records: Sequence[T], number: int, order: Callable[[Any], Any]) -> bool:
        keys = [key for record in records if (key := order(record)) is not None]
        if any(one > other for one, other in pairwise(keys)):
            return False
        others = {other: look.page.records for other, look in self.looks.items() if look.page.records}
        return all(
            _misplaced(keys, ends, is_later=number > other) <= MOST_SHIFTED
            for other, ends in _all_ends(others, order).items()
            if other != number
        )


def _all_ends(pages: Mapping[int, Sequence[Any]], order: Callable[[Any], Any]) -> dict[int, PageSeen]:
    """Return the ends of pages in an order, but not of those whose place in it is not known."""
    ends = {}
    for number, records in pages.items():
        keys = [key for record in records if (key := order(record)) is not None]
        if keys or not records:
            ends[number] = PageSeen(keys[0], keys[-1]) if keys else PageSeen(None, None)
    return ends


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
    return Listing([by_source_id])


def loads() -> Listing[Any]:
    """Return an empty list of loads.

    They are said to be ordered by stream name, A-Z, and elsewhere by stream id, which they do not show.
    """
    by_name = [by_stream_and_source, by_stream, by_stream_of_any_case_and_source, by_stream_of_any_case]
    return Listing([*by_name, StreamIds()], small=5)
