"""One answer for all who wait: in an event loop, a page of an account's lists is asked for once for all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_stitch.connect.errors import PhaseTimedOut, StitchUnavailable
from airflow_provider_stitch.replication.budget import WINDOW

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What Stitch answered, and when it was asked: seconds of the event loop's own clock."""

    value: T
    asked_at: float


class SharedAnswers:
    """The latest answers of one account, for all who wait in one event loop.

    Who wants news gets the latest answer if it is newer than what it knows; or waits for the one that is
    asked for already; and only if there is neither, asks. So a thousand who wait for one page cost one
    request.
    """

    def __init__(self) -> None:
        self._latest: dict[Hashable, Answer[Any]] = {}
        self._under_way: dict[Hashable, asyncio.Task[Answer[Any]]] = {}

    async def newer_than(self, known_at: float, what: Hashable, ask: Callable[[], Awaitable[T]]) -> Answer[T]:
        """Return an answer about `what` that was asked for after `known_at`.

        :raises StitchError: what `ask` raised, be it another's; but where another has merely run out of
            time, one's own `ask` makes up for it.
        """
        while True:
            latest = self._latest.get(what)
            if latest is not None and latest.asked_at > known_at:
                return latest
            others = self._under_way.get(what)
            task = others or self._begin(what, ask)
            try:
                # The task is nobody's own: who is cancelled leaves it to the others.
                await asyncio.shield(task)
            except (PhaseTimedOut, StitchUnavailable):
                if others is None:
                    raise

    def _begin(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> asyncio.Task[Answer[T]]:
        task = asyncio.ensure_future(self._ask(what, ask))
        self._under_way[what] = task
        task.add_done_callback(_retrieve)
        return task

    async def _ask(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> Answer[T]:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            answer = Answer(await ask(), asked_at)
        finally:
            del self._under_way[what]
        self._latest[what] = answer
        self._drop_before(loop.time() - WINDOW)
        return answer

    def _drop_before(self, instant: float) -> None:
        for what in [what for what, answer in self._latest.items() if answer.asked_at < instant]:
            del self._latest[what]


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at a task's error, so that asyncio does not report as lost what all waiters have left alone."""
    if not task.cancelled():
        task.exception()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, SharedAnswers]] = WeakKeyDictionary()


def shared_answers(account: Hashable) -> SharedAnswers:
    """Return what all who wait for `account` in the running event loop share."""
    accounts = _shared.setdefault(asyncio.get_running_loop(), {})
    return accounts.setdefault(account, SharedAnswers())
