"""Test StitchLoadTrigger in one of Airflow's shared streams, but without a complete triggerer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_stitch.assets import stitch_source, stitch_stream
from airflow_provider_stitch.connect.objects import parse_time
from airflow_provider_stitch.emulator import StitchEmulator
from tests.support.watchers import HAS_NO_WATCHERS, HAS_WATCHERS

TIMEOUT = 120.0


class StateStore:
    """A fake of the asset state store that Airflow passes to a watcher."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.failures = 0  #: how many of the next calls fail

    async def aget(self, key: str) -> Any:
        self._fail()
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self._fail()
        self.values[key] = json.loads(json.dumps(value))

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the API server is down")

    @property
    def cursor(self) -> dict[str, Any]:
        stored: dict[str, Any] = self.values.get("stitch_loads", {})
        return stored if "since" in stored else {}

    def announced(self) -> dict[str, str]:
        streams: dict[str, str] = self.cursor.get("loaded_at", {})
        return streams


class Watcher:
    """A trigger that runs in a shared stream the way it would run in a triggerer."""

    def __init__(self, manager: Any, store: StateStore, number: int = 1, **arguments: Any) -> None:
        from airflow_provider_stitch.triggers.loads import StitchLoadTrigger

        self.trigger = StitchLoadTrigger("github", poll_interval=1, **arguments)
        self.trigger.asset_state_store = store
        self._manager, self._number, self._key = manager, number, self.trigger.shared_stream_key()
        raw = manager.subscribe(trigger_id=number, trigger=self.trigger, key=self._key)
        self.events: asyncio.Queue[tuple[dict[str, Any], int]] = asyncio.Queue()
        self.task = asyncio.ensure_future(self._run(self.trigger.filter_shared_stream(raw)))

    async def _run(self, events: Any) -> None:
        async for event in events:
            seq = self._manager.bind_pending_event(trigger_id=self._number, key=self._key)
            self.events.put_nowait((event.payload, seq))

    async def event(self) -> dict[str, Any]:
        """Return the payload of the next event, and tell the trigger that Airflow has stored this event."""
        payload, seq = await asyncio.wait_for(self.events.get(), TIMEOUT)
        self.confirm(seq)
        return payload

    def confirm(self, seq: int) -> None:
        self._manager.confirm_persisted([seq])

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self._manager.unsubscribe(self._number, self._key)


async def wait_until(condition: Any) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - no event is set when the condition becomes true
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait(), TIMEOUT)


def run(scenario: Any) -> None:
    from airflow.triggers.shared_stream import SharedStreamManager

    async def main() -> None:
        manager = SharedStreamManager()
        try:
            await scenario(manager)
        finally:
            await manager.stop_all()

    asyncio.run(main())


@HAS_WATCHERS
def test_position_is_stored_once_airflow_has_stored_the_event(stitch, github):
    store = StateStore()

    async def scenario(manager):
        watcher = Watcher(manager, store, stream="commits")
        await wait_until(lambda: store.cursor)
        stitch.record_load(github, "commits")
        payload, seq = await asyncio.wait_for(watcher.events.get(), TIMEOUT)
        polls = len(stitch.limited_requests)
        await wait_until(lambda: len(stitch.limited_requests) > polls + 1)

        assert store.announced() == {}
        watcher.confirm(seq)
        await wait_until(store.announced)
        assert (payload["source"], payload["stream"]) == ("github", "commits")
        assert parse_time(store.announced()["commits"]) == parse_time(payload["loaded_at"])

    run(scenario)


@HAS_WATCHERS
def test_load_is_announced_again_if_airflow_has_not_stored_the_event(stitch, github):
    store = StateStore()

    async def first(manager):
        watcher = Watcher(manager, store, stream="commits")
        await wait_until(lambda: store.cursor)
        stitch.record_load(github, "commits")
        await asyncio.wait_for(watcher.events.get(), TIMEOUT)

    async def second(manager):
        payload = await Watcher(manager, store, stream="commits").event()
        assert payload["stream"] == "commits"

    run(first)
    run(second)


@HAS_WATCHERS
def test_restarted_watcher_announces_only_the_loads_of_the_time_in_between(stitch, github):
    store = StateStore()

    async def first(manager):
        watcher = Watcher(manager, store)
        await wait_until(lambda: store.cursor)
        stitch.record_load(github, "commits")
        await watcher.event()
        await wait_until(store.announced)

    async def second(manager):
        payload = await Watcher(manager, store).event()
        assert set(payload["streams"]) == {"pulls"}

    run(first)
    stitch.record_load(github, "pulls")
    run(second)


@HAS_WATCHERS
def test_first_start_announces_no_older_load(stitch, github):
    stitch.record_load(github, "commits", seconds_ago=3600)
    store = StateStore()

    async def scenario(manager):
        watcher = Watcher(manager, store)
        await wait_until(lambda: store.cursor)
        stitch.record_load(github, "issues")
        payload = await watcher.event()
        assert set(payload["streams"]) == {"issues"}

    run(scenario)


@HAS_WATCHERS
def test_load_before_the_first_response_is_announced_after_a_restart(github, monkeypatch, caplog):
    store = StateStore()

    async def first(manager):
        Watcher(manager, store, stream="commits")
        await wait_until(lambda: "Cannot read the loads" in caplog.text)

    async def second(manager):
        await Watcher(manager, store, stream="commits").event()

    with StitchEmulator(speed=1) as stitch:  # the trigger measures elapsed time with this machine's clock
        source = stitch.add_source("github", streams={"commits": 1})
        monkeypatch.delenv("AIRFLOW_CONN_STITCH_DEFAULT")
        run(first)
        store.values["stitch_loads"]["started_at"] -= 100
        stitch.record_load(source, "commits", seconds_ago=50)
        monkeypatch.setenv("AIRFLOW_CONN_STITCH_DEFAULT", stitch.connection_json())
        run(second)


@HAS_WATCHERS
def test_watchers_of_a_connection_share_one_stream(stitch, github):
    async def scenario(manager):
        stores = [StateStore(), StateStore()]
        watchers = [
            Watcher(manager, store, number, stream=stream)
            for number, (store, stream) in enumerate(zip(stores, ("commits", "pulls"), strict=True))
        ]
        await wait_until(lambda: all(store.cursor for store in stores))
        assert len(manager._groups) == 1
        stitch.record_load(github, "pulls")
        assert (await watchers[1].event())["stream"] == "pulls"
        assert watchers[0].events.empty()

    run(scenario)


@HAS_WATCHERS
def test_failing_state_store_delays_events_and_loses_none(stitch, github, caplog):
    store = StateStore()
    store.failures = 3

    async def scenario(manager):
        watcher = Watcher(manager, store, stream="commits")
        await wait_until(lambda: not store.failures)
        await wait_until(lambda: store.cursor)
        stitch.record_load(github, "commits")
        _, seq = await asyncio.wait_for(watcher.events.get(), TIMEOUT)
        store.failures = 2
        watcher.confirm(seq)
        await wait_until(store.announced)
        assert not watcher.task.done()

    run(scenario)
    assert caplog.text.count("cannot read its position") == 1
    assert caplog.text.count("could not store the position") == 1


@HAS_WATCHERS
def test_missing_connection_does_not_end_the_watcher(stitch, github, monkeypatch, caplog):
    monkeypatch.delenv("AIRFLOW_CONN_STITCH_DEFAULT")

    async def scenario(manager):
        watcher = Watcher(manager, StateStore(), stream="commits")
        await wait_until(lambda: "Cannot read the loads" in caplog.text)
        await asyncio.sleep(0.5)
        assert not watcher.task.done()
        await watcher.stop()

    run(scenario)


@HAS_WATCHERS
def test_stored_trigger_is_the_same():
    from airflow_provider_stitch.triggers.loads import StitchLoadTrigger

    path, arguments = StitchLoadTrigger("github", "commits", "acme", 30, asset_uri="s3://x").serialize()

    assert path == "airflow_provider_stitch.triggers.loads.StitchLoadTrigger"
    assert StitchLoadTrigger(**arguments).serialize() == (path, arguments)


@HAS_WATCHERS
def test_watched_assets_have_different_triggers():
    from airflow.triggers.base import BaseEventTrigger

    assets = [
        stitch_stream("github", "commits", watch=True),
        stitch_stream("github", "issues", watch=True),
        stitch_source("github", watch=True),
        stitch_source("github", stitch_conn_id="other", watch=True),
    ]
    hashes = {BaseEventTrigger.hash(*each.watchers[0].trigger.serialize()) for each in assets}

    assert len(hashes) == len(assets)
    assert not stitch_stream("github", "commits").watchers
    assert stitch_stream("github", "commits", watch=True).uri == stitch_stream("github", "commits").uri


@HAS_WATCHERS
@pytest.mark.parametrize(
    "arguments",
    [
        {"source": ""},
        {"source": 310442},
        {"source": "github", "stream": ""},
        {"source": "github", "stitch_conn_id": None},
        {"source": "github", "poll_interval": 0},
        {"source": "github", "poll_interval": float("nan")},
        {"source": "github", "poll_interval": "60"},
    ],
    ids=str,
)
def test_invalid_argument_is_rejected(arguments):
    from airflow_provider_stitch.triggers.loads import StitchLoadTrigger

    with pytest.raises(ValueError, match=list(arguments)[-1]):
        StitchLoadTrigger(**arguments)


@HAS_NO_WATCHERS
def test_error_on_older_airflow_names_the_alternatives():
    with pytest.raises(ImportError, match=r"need Airflow 3\.3 or later.*StitchLoadingSensor"):
        stitch_stream("github", "commits", watch=True)
    with pytest.raises(ImportError, match=r"need Airflow 3\.3 or later.*emit_assets"):
        import airflow_provider_stitch.triggers.loads  # noqa: F401


@HAS_WATCHERS
def test_dag_file_with_a_watcher_imports_nothing_that_talks_to_stitch():
    code = (
        "from airflow.sdk import DAG\nimport airflow.triggers.base, sys; before = set(sys.modules)\n"
        "from airflow_provider_stitch.assets import stitch_stream\n"
        "stitch_stream('github', 'commits', watch=True)\n"
        "print(*sorted(each for each in set(sys.modules) - before if each.startswith('airflow_provider')))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert set(output.split()) <= {
        "airflow_provider_stitch",
        "airflow_provider_stitch.assets",
        "airflow_provider_stitch.common",
        "airflow_provider_stitch.common.asset_uris",
        "airflow_provider_stitch.triggers",
        "airflow_provider_stitch.triggers.loads",
        "airflow_provider_stitch.triggers.versions",
    }
