"""Beginning and ending, time, the connection for Airflow, the command line and the pytest fixture."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_stitch.emulator import EmulatedStream, JobPlan, StitchEmulator
from airflow_provider_stitch.emulator.clock import Clock

from .conftest import PLUGIN, ROOT, START, Api, run_pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_time_runs_as_fast_as_it_is_told() -> None:
    real = 0.0
    clock = Clock(START, 60, monotonic=lambda: real)
    real = 2.5
    assert clock.now() == START + timedelta(seconds=150)
    clock.advance(30)
    assert clock.now() == START + timedelta(seconds=180)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_makes_no_sense_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be"):
        StitchEmulator(speed=speed)


def test_the_clock_never_goes_back(stitch: StitchEmulator) -> None:
    with pytest.raises(ValueError, match="only go forward"):
        stitch.advance(-1)


def test_a_whole_job_passes_in_its_own_time() -> None:
    with StitchEmulator(speed=3600) as stitch:
        api = Api(stitch, stitch)
        source_id = stitch.add_source("github", streams={"commits": 5}, job=JobPlan(tap_seconds=60))
        job_name = api.start(source_id)
        while not api.loads():
            assert len(stitch.requests) < 10_000
        assert api.extraction(source_id)["job_name"] == job_name
        assert "replicated 5 records" in api.log(job_name)


def test_the_connection_is_what_airflow_reads(stitch: StitchEmulator) -> None:
    connection = json.loads(stitch.connection_json())
    assert connection == {
        "conn_type": "stitch",
        "host": stitch.url,
        "login": "104857",
        "password": stitch.access_token,
        "extra": {"requests_per_10_minutes": 30},
    }
    other = stitch.add_account(7, "at_other")
    assert json.loads(stitch.connection_json(other))["login"] == "7"
    with StitchEmulator(speed=60) as fast:
        assert json.loads(fast.connection_json())["extra"] == {"requests_per_10_minutes": 1800}


def test_stopping_closes_everything() -> None:
    before = set(threading.enumerate())
    session = requests.Session()
    stitch = StitchEmulator().start()
    session.get(stitch.url, timeout=10)
    ports = [urlsplit(url).port for url in (stitch.url, stitch.log_url)]
    stitch.stop()
    stitch.stop()
    assert set(threading.enumerate()) == before
    for port in ports:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
    with pytest.raises(requests.ConnectionError):
        session.get(f"http://127.0.0.1:{ports[0]}/", timeout=10)


def test_it_listens_on_loopback_only_and_twice_side_by_side(stitch: StitchEmulator) -> None:
    assert urlsplit(stitch.url).hostname == "127.0.0.1"
    with StitchEmulator() as another:
        assert another.url != stitch.url
        with pytest.raises(OSError, match="in use"):
            StitchEmulator(port=urlsplit(stitch.url).port or 0).start()


def test_names_ids_and_tokens_are_given_once(stitch: StitchEmulator, github: int) -> None:
    with pytest.raises(ValueError, match="named 'github'"):
        stitch.add_source("github", streams={})
    with pytest.raises(ValueError, match=f"source {github} already"):
        stitch.add_source("other", streams={}, source_id=github)
    with pytest.raises(ValueError, match="token belongs"):
        stitch.add_account(access_token=stitch.access_token)
    assert stitch.add_source("chosen", streams={}, source_id=7) == 7
    assert stitch.add_source("next", streams={}) == github + 1


def test_jobs_that_cannot_be_are_refused(stitch: StitchEmulator, github: int) -> None:
    stitch.start_job(github)
    with pytest.raises(ValueError, match="is running already"):
        stitch.start_job(github)
    stitch.stop_job(github)
    stitch.complete_job(github, seconds_ago=3600)
    with pytest.raises(ValueError, match="Another job"):
        stitch.complete_job(github, seconds_ago=3650)
    import_api = stitch.add_source("import_api", type="import_api", streams={"events": 0})
    with pytest.raises(ValueError, match="no replication jobs"):
        stitch.start_job(import_api)


@pytest.mark.parametrize("wrong", [{"rows": -1}, {"flushes": 0}])
def test_a_stream_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="0 rows or more, in one flush or more"):
        EmulatedStream(**wrong)


# The command line


@pytest.fixture
def command() -> Iterator[subprocess.Popen[str]]:
    """`stitch-emulator` with a token of ours, begun."""
    arguments = ["--speed", "600", "--access-token", "ac_mine", "--client-id", "7"]
    code = "import sys; from airflow_provider_stitch.emulator.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_one_line_and_ends_well(
    command: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert command.stdout is not None
    said = json.loads(command.stdout.readline())
    assert set(said) == {
        "url",
        "access_token",
        "client_id",
        "partner_id",
        "partner_secret",
        "connection",
        "sources",
    }
    assert (said["access_token"], said["client_id"]) == ("ac_mine", 7)
    headers = {"Authorization": "Bearer ac_mine"}
    sources = requests.get(said["url"] + "/v4/sources", headers=headers, timeout=10).json()
    assert [s["id"] for s in sources] == [s["id"] for s in said["sources"]]
    assert {s["name"]: s["streams"] for s in said["sources"]}["github"] == [
        "commits",
        "issues",
        "pull_requests",
        "teams",
    ]
    loads = requests.get(said["url"] + "/v4/7/loads", headers=headers, timeout=10).json()["data"]
    assert [(row["source_name"], row["stream_name"]) for row in loads] == [("import_api", "events")]
    command.send_signal(number)
    rest, errors = command.communicate(timeout=10)
    assert (command.returncode, rest, errors) == (0, "", "")


def test_the_command_says_why_it_cannot_listen(
    stitch: StitchEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(urlsplit(stitch.url).port)
    code = "from airflow_provider_stitch.emulator.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--port", port], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"can't listen on 127.0.0.1:{port}" in done.stderr


# The pytest fixture, and what imports cost


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_plugin_imports_nothing_of_the_emulator() -> None:
    done = python(
        f"import sys, pytest; before = set(sys.modules); import {PLUGIN};"
        "print(*sorted(set(sys.modules) - before))"
    )
    assert done.stdout.split() == [
        "airflow_provider_stitch",
        "airflow_provider_stitch.emulator",
        PLUGIN,
    ]


def test_the_emulator_imports_nothing_of_the_rest() -> None:
    done = python(
        "import sys; from airflow_provider_stitch.emulator import StitchEmulator;"
        "import airflow_provider_stitch.emulator.cli;"
        "ours = ('airflow.', 'airflow_provider_stitch.', 'requests');"
        "print(*(name for name in sys.modules if name.startswith(ours)))"
    )
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert names
    assert [name for name in names if not name.startswith("airflow_provider_stitch.emulator")] == []


def test_without_the_extra_the_error_says_what_to_install() -> None:
    hide = "import sys; sys.modules['uvicorn'] = None\n"
    done = python(hide + "from airflow_provider_stitch.emulator import StitchEmulator")
    assert "pip install 'airflow-provider-stitch[emulator]'" in done.stderr
    assert "ModuleNotFoundError" in done.stderr
    done = python(hide + "from airflow_provider_stitch.emulator.cli import main; main([])")
    assert done.stderr.startswith("The Stitch emulator needs more: pip install")


def test_the_fixture_gives_each_test_a_fresh_stitch(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(
        "import pytest, urllib.request\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_it(stitch_emulator, n):\n"
        "    assert stitch_emulator.add_source('github', streams={'a': 1}) == 310442\n"
        "    request = urllib.request.Request(stitch_emulator.url + '/v4/sources')\n"
        "    request.add_header('Authorization', 'Bearer ' + stitch_emulator.access_token)\n"
        "    assert urllib.request.urlopen(request).status == 200\n"
    )
    done = run_pytest(test)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
