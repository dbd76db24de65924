"""Fixtures for a local Stitch, Airflow with an example DAG, and a browser, all shared by the UI tests."""

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
SCREENSHOTS_FOLDER = ROOT / "docs" / "images"

#: Names of the browser's executable in Debian and in other systems.
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")

#: Number of seconds after which a wait fails the test. The timeout is long, because the machine may be busy.
TIMEOUT = 900.0
expect.set_options(timeout=120_000)


def pytest_configure() -> None:
    if chromium() is None:
        pytest.exit(
            "These tests need the browser Chromium. Install it (Debian: apt-get install chromium), "
            "or set STITCH_TEST_CHROMIUM to its executable.",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def chromium() -> str | None:
    """Return the path of the browser's executable, or None if no browser is installed."""
    configured = os.environ.get("STITCH_TEST_CHROMIUM")
    return (
        shutil.which(configured)
        if configured
        else next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    )


@pytest.fixture(scope="session")
def stitch() -> Iterator[StitchEmulator]:
    # The emulator runs at the same speed as in the demo. At a higher speed, a job could end before Airflow's
    # scheduler has recorded that the task was deferred.
    with StitchEmulator(speed=20) as stitch:
        stitch.add_source("github", streams={"commits": 412, "issues": 100, "teams": 0})
        stitch.add_source("shop_pg", streams={"orders": 37})
        stitch.add_source("hubspot", streams={"contacts": 5}, paused=True)
        yield stitch


@pytest.fixture(scope="session")
def airflow(stitch: StitchEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(ROOT / "example_dags" / f"{EXAMPLE}.py", dags)
    shutil.copy(Path(__file__).parent / "dags" / "asset_graph.py", dags)
    deadline = Deadline(TIMEOUT)
    settings = {
        "CORE__TEST_CONNECTION": "Enabled",
        # These long timeouts prevent task failures on a busy machine.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "1800",
        "SCHEDULER__TASK_QUEUED_TIMEOUT": "1800",
    }
    with (
        deadline.deferring_signals(),
        LocalAirflow(stitch.connection_json(), deadline, dags, settings=settings) as airflow,
    ):
        airflow.start()
        yield airflow


@pytest.fixture(scope="session")
def api(airflow: LocalAirflow) -> AirflowApi:
    api = AirflowApi(airflow.url)
    Deadline(TIMEOUT).wait_until(api.is_up, "Airflow's API server to respond")
    return api


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # Chromium's sandbox does not work for the root user. It is safe to disable the sandbox, because the
    # browser only loads local pages.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, airflow: LocalAirflow, api: AirflowApi) -> Iterator[Page]:
    """A page in a new browser context.

    Relative URLs are resolved against Airflow's address. For example, `goto("/connections")` opens Airflow's
    list of connections.
    """
    context = browser.new_context(base_url=airflow.url, viewport={"width": 1100, "height": 860})
    context.set_default_timeout(TIMEOUT * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], None]:
    """A function that takes a screenshot for the documentation."""
    SCREENSHOTS_FOLDER.mkdir(exist_ok=True)

    def take(name: str) -> None:
        page.screenshot(path=Path(SCREENSHOTS_FOLDER) / f"{name}.png", animations="disabled")

    return take
