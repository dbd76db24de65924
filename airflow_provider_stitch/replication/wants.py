"""What a waiter wants to know of an account, and which requests would tell it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from airflow_provider_stitch.replication.extraction import began_at
from airflow_provider_stitch.replication.listing import Listing, Look, SourceKey, StreamKey
from airflow_provider_stitch.replication.planner import Request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection, Iterable, Sequence

    from airflow_provider_stitch.connect.client import StitchClient
    from airflow_provider_stitch.connect.objects import Extraction, Load
    from airflow_provider_stitch.replication.prospects import Prospect

T = TypeVar("T")

LATEST_KNOWN = -1
"""The serial of those who take any answer that is still remembered."""

LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)

FROM_NOW_ON = -2
"""That of those who take an answer to a later request than the latest so far."""


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """An answer to a want."""

    value: T
    at: datetime | None  #: Stitch's own time of the (oldest) answer
    asked_at: float  #: when it was asked for, by this machine's clock
    serial: int  #: of the (oldest) request: who has this answer wants a later one next


class Notice(NamedTuple):
    """A line for the log of a waiter, instead of a result. The waiter logs it and goes on."""

    line: str
    is_budget: bool = False  #: a wait for a free request begins; False: an outage does


@dataclass(eq=False, slots=True)
class Want(Generic[T]):
    """What one waiter wants to know.

    :param client: asks for it.
    :param prospect: when the answer may be another than before.
    :param since: only answers to requests with a higher serial count.
    """

    client: StitchClient
    prospect: Prospect | None
    since: int
    #: Those that would tell, or lead further.
    requests: tuple[Request, ...] = field(default=(), init=False)
    #: It is wanted at once, and not when it serves all who wait best.
    urgent: bool = field(default=False, init=False)
    #: Its waiter has not logged yet that it waits for the budget.
    reports_budget: bool = field(default=False, init=False)
    #: Nobody waits for it any longer than that, by the watch's clock.
    until: float = field(default=math.inf, init=False)
    #: Set once somebody waits for it.
    future: asyncio.Future[Told[T] | Notice | None] = field(init=False)

    def look_up(self, extractions: Listing[Extraction], loads: Listing[Load]) -> None:
        """Settle if what is known answers this want, or else say which requests would."""
        raise NotImplementedError

    def concerns(self, source: object) -> bool:  # noqa: ARG002
        """Return whether a listed record of this source (id or name) may be wanted."""
        return False

    def settle(self, told: Told[T] | Notice | None) -> None:
        if not self.future.done():
            self.future.set_result(told)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(eq=False, slots=True)
class ExtractionWant(Want["Extraction | None"]):
    """The listed extraction of a source; None if the list has none.

    :param takes_known: an answer that is still remembered counts, too, if it lists the source.
    """

    source_id: int
    takes_known: bool = False

    def look_up(self, extractions: Listing[Extraction], loads: Listing[Load]) -> None:  # noqa: ARG002
        key = SourceKey(self.source_id)
        fresh = extractions.since(self.since)
        usable = extractions.since(LATEST_KNOWN) if self.takes_known else fresh
        found = [look for look in usable if self.source_id in look.records]
        if found:
            extractions.remember(key, found[-1].page.number)
            read = {look.page.number: look for look in usable}
            beside = self._pages_beside(found, extractions.last_page or 1)
            unread = beside - read.keys()
            if unread:
                self.requests = _for_extractions(min(unread))
                return
            records = [record for look in found for record in look.records[self.source_id]]
            looks = {look.page.number: look for look in found} | {page: read[page] for page in beside}
            self.settle(_told(list(looks.values()), _newest(records)))
            return
        page = extractions.next_page(key, self.since)
        if page is None:
            self.settle(_told(fresh, None))
        else:
            self.requests = _for_extractions(page)

    def _pages_beside(self, found: Sequence[Look[Extraction]], last_page: int) -> set[int]:
        """Return the pages that may contain further records of the source.

        The list is ordered by source id. So if a page begins or ends with the source, the page before or
        after it may contain a newer record.
        """
        pages = set()
        for look in found:
            number, records = look.page.number, look.page.records
            if records[0].source_id == self.source_id and number > 1:
                pages.add(number - 1)
            if records[-1].source_id == self.source_id and number < last_page:
                pages.add(number + 1)
        return pages

    def concerns(self, source: object) -> bool:
        return source == self.source_id


@dataclass(eq=False, slots=True)
class LoadsWant(Want["list[Load] | None"]):
    """The loads of a source's streams; None if all are wanted and the list is too long to be read for that.

    :param expected: of each stream the names under which its load may be listed, and how many there may be;
        None wants all loads of the source. If a recent search of all pages found fewer, so many are enough.
    """

    source_name: str
    expected: Sequence[tuple[Collection[str], int]] | None

    def look_up(self, extractions: Listing[Extraction], loads: Listing[Load]) -> None:  # noqa: ARG002
        fresh = loads.since(self.since)
        if self.expected is None and loads.last_page is not None and not loads.is_small:
            self.settle(_told(fresh or list(loads.looks.values()), None))
            return
        found = _loads_in(fresh, self.source_name)
        pages = self._all_pages(fresh, loads) if self.expected is None else self._pages_of(found, loads)
        self.requests = tuple(Request("loads", page) for page in sorted(pages))
        if not pages:
            self.settle(_told(fresh, found))
            self._remember_places(fresh, found, loads)

    def concerns(self, source: object) -> bool:
        return source == self.source_name

    def _all_pages(self, fresh: Sequence[Look[Load]], loads: Listing[Load]) -> set[int]:
        return set(range(1, (loads.last_page or 1) + 1)) - {look.page.number for look in fresh}

    def _pages_of(self, found: Sequence[Load], loads: Listing[Load]) -> set[int]:
        pages = set()
        times = Counter(load.stream_name for load in found)
        for names, number in self.expected or ():
            keys = [StreamKey(self.source_name, name) for name in dict.fromkeys(names)]
            listed = sum(times[key.stream_name] for key in keys)
            known = sum(loads.count_of(key) for key in keys)
            pages_known = {page for key in keys for page in loads.pages_of(key)}
            if listed < max(min(number, known), len(pages_known), 1):
                # What was found by one of its names is looked for by the others only if it is gone there.
                placed = self._next_pages(filter(loads.is_placed, keys), loads)
                pages |= placed or self._next_pages(keys, loads)
        return pages

    def _remember_places(
        self, fresh: Sequence[Look[Load]], found: Sequence[Load], loads: Listing[Load]
    ) -> None:
        places: dict[str, list[int]] = {}
        for look in fresh:
            for name in {load.stream_name for load in look.records.get(self.source_name, ())}:
                places.setdefault(name, []).append(look.page.number)
        times = Counter(load.stream_name for load in found)
        for name, pages in places.items():
            loads.remember(StreamKey(self.source_name, name), *pages)
        for names, number in self.expected or ():
            for key in (StreamKey(self.source_name, name) for name in dict.fromkeys(names)):
                is_complete = number > 1 and loads.next_page(key, self.since) is None
                if is_complete:
                    loads.remember_count(key, times[key.stream_name])

    def _next_pages(self, keys: Iterable[StreamKey], loads: Listing[Load]) -> set[int]:
        pages = {loads.next_page(key, self.since) for key in keys}
        return {page for page in pages if page is not None}


@dataclass(eq=False, slots=True)
class LogWant(Want[Any]):
    """The log of a job. It is read at a request of its own for each who wants it."""

    job_name: str

    def look_up(self, extractions: Listing[Extraction], loads: Listing[Load]) -> None:  # noqa: ARG002
        self.requests = (Request("log", self.job_name),)


@lru_cache(maxsize=1024)
def _for_extractions(page: int) -> tuple[Request]:
    """Return one and the same tuple for all whom a page serves: it takes memory as long as they wait."""
    return (Request("extractions", page),)


def _newest(records: Sequence[Extraction]) -> Extraction:
    """Return the job that started last: the list has one record per source, so any other one is stale."""
    return max(records, key=lambda record: began_at(record) or LONG_AGO)


def _told(looks: Sequence[Look[Any]], value: T) -> Told[T]:
    times = [look.page.answered_at for look in looks]
    return Told(
        value,
        # The time of a page that is not dated may be before that of all others.
        at=None if None in times else min(filter(None, times), default=None),
        asked_at=min((look.asked_at for look in looks), default=float("-inf")),
        serial=min((look.serial for look in looks), default=LATEST_KNOWN),
    )


def _loads_in(looks: Sequence[Look[Load]], source_name: str) -> list[Load]:
    found: list[Load] = []
    known: dict[str, list[Load]] = {}  # by stream, for there may be 10,000
    for look in looks:
        # A record that moved to the next page between two requests comes twice; two on one page are two.
        records = look.records.get(source_name, ())
        new = [load for load in records if load not in known.get(load.stream_name, ())]
        for load in new:
            known.setdefault(load.stream_name, []).append(load)
        found += new
    return found
