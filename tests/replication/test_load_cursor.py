"""Test the cursor, which determines the loads that a watcher announces."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.replication.load_cursor import LoadCursor, whole_second
from simulated_stitch.large_account import load_of

SINCE = datetime(2026, 8, 17, 6, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return SINCE + timedelta(seconds=seconds)


def loads(**seconds: float | list[float] | None):
    return [
        load_of("github", stream, None if each is None else at(each))
        for stream, times in seconds.items()
        for each in (times if isinstance(times, list) else [times])
    ]


@pytest.mark.parametrize(
    ("announced", "listed", "expected"),
    [
        pytest.param({}, {"commits": -1}, {}, id="older than the start"),
        pytest.param({}, {"commits": 0}, {"commits": 0}, id="in the second of the start"),
        pytest.param({}, {"commits": 5}, {"commits": 5}, id="first load of a stream"),
        pytest.param({"commits": 5}, {"commits": 5}, {}, id="already announced"),
        pytest.param({"commits": 5}, {"commits": 6}, {"commits": 6}, id="newer"),
        pytest.param({"commits": 5}, {"commits": 4}, {}, id="an older record replaced the newer one"),
        pytest.param({"commits": 5}, {"commits": None}, {}, id="in an error state"),
        pytest.param({"commits": 5}, {"issues": 2}, {"issues": 2}, id="a stream that was listed late"),
        pytest.param({"commits": 5}, {"commits": [9, 3, 7]}, {"commits": 9}, id="namesakes"),
        pytest.param({}, {"commits": 1, "issues": 2}, {"commits": 1, "issues": 2}, id="two streams"),
    ],
)
def test_cursor_returns_the_loads_after_it(announced, listed, expected):
    cursor = LoadCursor(SINCE, {stream: at(seconds) for stream, seconds in announced.items()})

    assert cursor.new_loads(loads(**listed)) == {stream: at(each) for stream, each in expected.items()}


def test_cursor_considers_one_stream_only():
    assert LoadCursor(SINCE).new_loads(loads(commits=1, issues=2), "issues") == {"issues": at(2)}


def test_cursor_after_a_load_does_not_return_it_again():
    cursor = LoadCursor(SINCE, {"issues": at(1)}).after({"commits": at(3)})

    assert cursor.new_loads(loads(commits=3, issues=1)) == {}


def test_stored_cursor_is_the_same():
    cursor = LoadCursor(SINCE, {"commits": at(0.25)})

    assert LoadCursor.from_dict(cursor.to_dict()) == cursor


def test_invalid_cursor_is_rejected():
    with pytest.raises(InvalidArgument):
        LoadCursor.from_dict({"since": "yesterday", "loaded_at": {}})


def test_whole_second_is_at_most_a_second_earlier():
    assert whole_second(at(3.9)) == at(3)
