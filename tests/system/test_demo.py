"""Test the complete demo with a real Airflow installation and a local Stitch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

import demo.__main__ as demo_command
from airflow_provider_stitch.emulator import StitchEmulator
from local_airflow.processes import IS_AIRFLOW_2

if TYPE_CHECKING:
    from rich.console import Console

    from demo.dag_run import DagRun


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the demo starts the processes of Airflow 3")
def test_demo_loads_rows_and_does_not_leak_the_token(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "ac_token_to_search_for"
    monkeypatch.setattr(demo_command, "StitchEmulator", partial(StitchEmulator, access_token=token))
    airflow_files = b""

    def read_files_and_print_summary(console: Console, run: DagRun, stitch: StitchEmulator) -> None:
        nonlocal airflow_files
        home = run._logs_folder.parent
        airflow_files = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        print_summary(console, run, stitch)

    print_summary = demo_command._print_summary
    monkeypatch.setattr(demo_command, "_print_summary", read_files_and_print_summary)

    exit_status = demo_command.main([])
    printed = "".join(capfd.readouterr())

    assert exit_status == 0, printed
    for row in ("commits", "412", "issues", "100", "pull_requests", "37"):
        assert row in printed
    assert token not in printed
    assert b"StitchPhaseTrigger" in airflow_files, "the search covers the trigger's log"
    assert token.encode() not in airflow_files
