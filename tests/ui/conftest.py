"""One local Stitch, one Airflow with one example DAG, and one browser for all tests of this folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from airflow_provider_stitch.emulator import StitchEmulator
from local_airflow.processes import LocalAirflow
from local_airflow.rest import AirflowApi
from local_airflow.waiting import Deadline
from tools.doc_blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLE = "stitch_then_transform"
PICTURES = ROOT / "docs" / "images"

#: Debian's package and what other systems call it.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

#: Seconds that a wait may take before the test fails, on however busy a machine.
PATIENCE = 180.0
expect.set_options(timeout=60_000)


def pytest_configure() -> None:
    if chromium() is None:
        pytest.exit(
            "These tests need the browser Chromium. On Debian and its like: apt-get install chromium. "
            "Or name its program in STITCH_TEST_CHROMIUM.",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def chromium() -> str | None:
    """The path of the browser's program, or None if there is none."""
    named = os.environ.get("STITCH_TEST_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, PROGRAMS)), None)


@pytest.fixture(scope="session")
def stitch() -> Iterator[StitchEmulator]:
    # As fast as in the demo: a job that is over sooner can overtake the scheduler's note that its task waits.
    with StitchEmulator(speed=20) as stitch:
        stitch.add_source("github", streams={"commits": 412, "issues": 100, "teams": 0})
        stitch.add_source("shop_pg", streams={"orders": 37})
        stitch.add_source("hubspot", streams={"contacts": 5}, paused=True)
        yield stitch


@pytest.fixture(scope="session")
def airflow(stitch: StitchEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(ROOT / "example_dags" / f"{EXAMPLE}.py", dags)
    deadline = Deadline(PATIENCE)
    settings = {"CORE__TEST_CONNECTION": "Enabled"}
    with (
        deadline.deferring_signals(),
        LocalAirflow(stitch.connection_json(), deadline, dags, settings=settings) as airflow,
    ):
        airflow.start()
        yield airflow


@pytest.fixture(scope="session")
def api(airflow: LocalAirflow) -> AirflowApi:
    api = AirflowApi(airflow.url)
    Deadline(PATIENCE).wait_until(api.is_up, "Airflow's API server to answer")
    return api


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # The sandbox of Chromium does not work for root, and here it loads pages of this machine only.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, airflow: LocalAirflow, api: AirflowApi) -> Iterator[Page]:
    """A page of a browser that has seen nothing yet; `goto("/connections")` goes to one of Airflow's."""
    context = browser.new_context(base_url=airflow.url, viewport={"width": 1100, "height": 860})
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture
def picture(page: Page) -> Callable[[str], None]:
    """Takes a picture for the documentation."""
    PICTURES.mkdir(exist_ok=True)

    def take(name: str) -> None:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", animations="disabled")

    return take
