"""The whole demo, in which a real Airflow waits for a local Stitch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

import demo.__main__ as the_demo
from airflow_provider_stitch.emulator import StitchEmulator
from local_airflow.processes import IS_AIRFLOW_2

if TYPE_CHECKING:
    from rich.console import Console

    from demo.dag_run import DagRun


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the demo shows Airflow 3, whose processes are others")
def test_the_whole_demo_loads_rows_and_gives_no_token_away(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "ac_token_that_is_looked_for"
    monkeypatch.setattr(the_demo, "StitchEmulator", partial(StitchEmulator, access_token=token))
    left_by_airflow = b""

    def sum_up(console: Console, run: DagRun, stitch: StitchEmulator) -> None:
        nonlocal left_by_airflow
        home = run._logs_folder.parent
        left_by_airflow = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        the_real_one(console, run, stitch)

    the_real_one = the_demo._print_summary
    monkeypatch.setattr(the_demo, "_print_summary", sum_up)

    exit_status = the_demo.main([])
    printed = "".join(capfd.readouterr())

    assert exit_status == 0, printed
    for row in ("commits", "412", "issues", "100", "pull_requests", "37"):
        assert row in printed
    assert token not in printed
    assert b"StitchPhaseTrigger" in left_by_airflow, "the trigger's log was looked at"
    assert token.encode() not in left_by_airflow
