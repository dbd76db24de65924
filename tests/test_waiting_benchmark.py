"""Test how the benchmark `waiting` evaluates the ends of its jobs."""

from __future__ import annotations

import time

from benchmarks.waiting.benchmark import MANY, SPEED, _wait_for_endings

STARTED_AT = 2_000_000_000.0  #: time of the emulator's clock (epoch), which differs from real time


class _Stitch:
    def call(self, _function: str) -> dict[str, float]:
        return {"now": STARTED_AT + 3000, "at": time.time(), "limited": 90, "busiest_window": 30}


class _Triggerer:
    """A triggerer that has resumed the first task three real seconds ago."""

    def count_deferred(self) -> int:
        return 0

    def events(self) -> list[dict]:
        return [{"index": 1, "at": time.time() - 3, "event": {"error": None}}]

    def samples(self) -> list[dict]:
        return [
            {"stalls": [{"at": STARTED_AT, "seconds": 1.0, "preempted": 0, "collection": 0, "stack": []}]}
        ]


def test_endings_are_measured_in_stitch_time() -> None:
    endings = _wait_for_endings(_Triggerer(), _Stitch(), [STARTED_AT + 2900], STARTED_AT)

    assert endings.minutes == 50.0
    assert round(endings.delays[0]) == 100 - 3 * SPEED
    assert endings.missing == MANY - 1
    assert endings.stall.seconds == 0.0, "a stall is counted by real time"
