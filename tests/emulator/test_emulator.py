"""Test the emulator's life cycle, virtual time, Airflow connection, command line and pytest fixture."""

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


def test_virtual_time_runs_at_the_configured_speed() -> None:
    real = 0.0
    clock = Clock(START, 60, monotonic=lambda: real)
    real = 2.5
    assert clock.now() == START + timedelta(seconds=150)
    clock.advance(30)
    assert clock.now() == START + timedelta(seconds=180)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_invalid_speed_is_rejected(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be"):
        StitchEmulator(speed=speed)


def test_clock_never_goes_back(stitch: StitchEmulator) -> None:
    with pytest.raises(ValueError, match="only go forward"):
        stitch.advance(-1)


def test_complete_job_runs_in_virtual_time() -> None:
    with StitchEmulator(speed=3600) as stitch:
        api = Api(stitch, stitch)
        source_id = stitch.add_source("github", streams={"commits": 5}, job=JobPlan(tap_seconds=60))
        job_name = api.start(source_id)
        while not api.loads():
            assert len(stitch.requests) < 10_000
        assert api.extraction(source_id)["job_name"] == job_name
        assert "replicated 5 records" in api.log(job_name)


def test_connection_json_is_readable_by_airflow(stitch: StitchEmulator) -> None:
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


def test_stop_closes_all_connections_and_ports() -> None:
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


def test_two_emulators_listen_on_loopback_at_the_same_time(stitch: StitchEmulator) -> None:
    assert urlsplit(stitch.url).hostname == "127.0.0.1"
    with StitchEmulator() as another:
        assert another.url != stitch.url
        with pytest.raises(OSError, match="in use"):
            StitchEmulator(port=urlsplit(stitch.url).port or 0).start()


def test_names_ids_and_tokens_are_unique(stitch: StitchEmulator, github: int) -> None:
    with pytest.raises(ValueError, match="named 'github'"):
        stitch.add_source("github", streams={})
    with pytest.raises(ValueError, match=f"Source {github} already exists"):
        stitch.add_source("other", streams={}, source_id=github)
    with pytest.raises(ValueError, match="token already belongs"):
        stitch.add_account(access_token=stitch.access_token)
    assert stitch.add_source("chosen", streams={}, source_id=7) == 7
    assert stitch.add_source("next", streams={}) == github + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "name must be a non-empty string"),
        ({"name": None}, "name must be a non-empty string"),
        ({"streams": ["orders"]}, "streams must be a dict"),
        ({"streams": {"orders": "5"}}, r"streams\['orders'\] must be a number of rows"),
        ({"streams": {"orders": True}}, r"streams\['orders'\] must be a number of rows"),
        ({"streams": {"orders": -1}}, r"streams\['orders'\] must be 0 or more rows"),
        ({"schedule_minutes": "30"}, "schedule_minutes must be a number"),
        ({"paused": "by_stitch"}, "paused must be True or False"),
        ({"job": JobPlan(rows={"unknown": 1})}, "unknown"),
    ],
)
def test_invalid_source_is_not_added(stitch: StitchEmulator, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stitch.add_source(**{"name": "new", "streams": {"orders": 5}, **arguments})

    assert stitch.sources == []
    stitch.add_source("new", streams={"orders": 5})


def test_impossible_jobs_are_rejected(stitch: StitchEmulator, github: int) -> None:
    stitch.start_job(github)
    with pytest.raises(ValueError, match="already has a running job"):
        stitch.start_job(github)
    stitch.stop_job(github)
    stitch.complete_job(github, seconds_ago=3600)
    with pytest.raises(ValueError, match="would overlap job"):
        stitch.complete_job(github, seconds_ago=3650)
    import_api = stitch.add_source("import_api", type="import_api", streams={"events": 0})
    with pytest.raises(ValueError, match="no replication jobs"):
        stitch.start_job(import_api)


@pytest.mark.parametrize("wrong", [{"rows": -1}, {"flushes": 0}])
def test_invalid_stream_is_rejected(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 0 rows and at least one flush"):
        EmulatedStream(**wrong)


# Tests for the command line.


@pytest.fixture
def command() -> Iterator[subprocess.Popen[str]]:
    """Start the command `stitch-emulator` with a known access token."""
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
def test_command_prints_one_line_and_stops_cleanly(
    command: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert command.stdout is not None
    printed = json.loads(command.stdout.readline())
    assert set(printed) == {
        "url",
        "access_token",
        "client_id",
        "partner_id",
        "partner_secret",
        "connection",
        "sources",
    }
    assert (printed["access_token"], printed["client_id"]) == ("ac_mine", 7)
    headers = {"Authorization": "Bearer ac_mine"}
    sources = requests.get(printed["url"] + "/v4/sources", headers=headers, timeout=10).json()
    assert [s["id"] for s in sources] == [s["id"] for s in printed["sources"]]
    assert {s["name"]: s["streams"] for s in printed["sources"]}["github"] == [
        "commits",
        "issues",
        "pull_requests",
        "teams",
    ]
    loads = requests.get(printed["url"] + "/v4/7/loads", headers=headers, timeout=10).json()["data"]
    assert [(row["source_name"], row["stream_name"]) for row in loads] == [("import_api", "events")]
    command.send_signal(number)
    rest, errors = command.communicate(timeout=10)
    assert (command.returncode, rest, errors) == (0, "", "")


def test_command_reports_why_it_cannot_listen(
    stitch: StitchEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(urlsplit(stitch.url).port)
    code = "from airflow_provider_stitch.emulator.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "--port", port], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


# Tests for the pytest fixture and for imports.


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a new interpreter."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_plugin_does_not_import_the_emulator() -> None:
    result = run_python(
        f"import sys, pytest; before = set(sys.modules); import {PLUGIN};"
        "print(*sorted(set(sys.modules) - before))"
    )
    assert result.stdout.split() == [
        "airflow_provider_stitch",
        "airflow_provider_stitch.emulator",
        PLUGIN,
    ]


def test_emulator_does_not_import_the_rest_of_the_package() -> None:
    result = run_python(
        "import sys; from airflow_provider_stitch.emulator import StitchEmulator;"
        "import airflow_provider_stitch.emulator.cli;"
        "ours = ('airflow.', 'airflow_provider_stitch.', 'requests');"
        "print(*(name for name in sys.modules if name.startswith(ours)))"
    )
    assert result.returncode == 0, result.stderr
    names = result.stdout.split()
    assert names
    assert [name for name in names if not name.startswith("airflow_provider_stitch.emulator")] == []


def test_missing_extra_raises_error_with_install_command() -> None:
    hide = "import sys; sys.modules['uvicorn'] = None\n"
    result = run_python(hide + "from airflow_provider_stitch.emulator import StitchEmulator")
    assert "pip install '.[emulator]'" in result.stderr
    assert "ModuleNotFoundError" in result.stderr
    result = run_python(hide + "from airflow_provider_stitch.emulator.cli import main; main([])")
    assert result.stderr.startswith(
        "The Stitch emulator requires the 'emulator' extra. In a checkout, run: pip install"
    )


def test_fixture_gives_each_test_a_new_emulator(tmp_path: Path) -> None:
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
    result = run_pytest(test)
    assert "2 passed" in result.stdout, result.stdout + result.stderr
