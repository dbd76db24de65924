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

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from airflow_provider_stitch.connect.objects import Page

T = TypeVar("T")

# Records that may have shifted from one page to the next between two looks; more are no shift but disorder.
MOST_SHIFTED = 50

# What a page holds of a list is dropped so many looks later: the ends are enough to find it again.
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
    def is_small(self) -> bool:
        return self.last_page is not None and self.last_page <= self._small

    def add(self, look: Look[T]) -> None:
        """Take in the answer to a request for a page."""
        page = look.page
        self.looks[page.number] = look
        # `total` is what tells how many pages there are, but nothing says that it is exact.
        self.last_page = max(page.last_page, page.next_page or 1, page.number if page.records else 1)
        self.looks = {number: each for number, each in self.looks.items() if number <= self.last_page}
        for number in [number for number in self._seen if number > self.last_page]:
            del self._seen[number]
        self._seen[page.number] = [page.records[0], page.records[-1]] if page.records else []
        self._orders = [order for order in self._orders if self._obeys(page.records, page.number, order)]
        for number in [n for n, each in self.looks.items() if each.serial <= look.serial - LOOKS_KEPT]:
            del self.looks[number]

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
        order = self._order()
        if order is None:
            place = self._places.get(key, 1)
            pages = [place, *range(1, (self.last_page or 1) + 1)]
            return next((page for page in pages if page not in fresh and page <= (self.last_page or 1)), None)
        older = {number: _ends(ends, order) for number, ends in self._seen.items()}
        hint = self._places.get(key) or likely_page(order(key), older, self.last_page)
        newer = {number: _ends(look.page.records, order) for number, look in fresh.items()}
        return next_page(order(key), newer, self.last_page, hint)

    def _order(self) -> Callable[[Any], Any] | None:
        if self.is_small or not self._orders:
            return None
        # One page of a list may be in order by chance, or for being all of one source.
        return self._orders[0] if self._small == 1 or len(self._seen) > 1 else None

    def _obeys(self, records: Sequence[T], number: int, order: Callable[[Any], Any]) -> bool:
        keys = [order(record) for record in records]
        if any(one > other for one, other in pairwise(keys)):
            return False
        return all(
            _misplaced(keys, _ends(look.page.records, order), is_later=number > other) <= MOST_SHIFTED
            for other, look in self.looks.items()
            if other != number and look.page.records
        )


def _ends(records: Sequence[Any], order: Callable[[Any], Any]) -> PageSeen:
    return PageSeen(order(records[0]), order(records[-1])) if records else PageSeen(None, None)


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
    return Listing(
        [by_stream_and_source, by_stream, by_stream_of_any_case_and_source, by_stream_of_any_case], small=5
    )
