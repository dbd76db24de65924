"""Test Airflow's pages for an example DAG, and the link from a task to Stitch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from local_airflow.processes import last_lines
from local_airflow.waiting import Deadline

from .conftest import EXAMPLE, TIMEOUT

if TYPE_CHECKING:
    from local_airflow.processes import LocalAirflow
    from local_airflow.rest import AirflowApi

logger = logging.getLogger(__name__)

STITCH_PAGE = "https://app.stitchdata.com/client/104857/pipeline/v2/sources/310442/summary"


def test_button_of_a_task_opens_its_source_in_stitch(
    page: Page, airflow: LocalAirflow, api: AirflowApi, screenshot
) -> None:
    run_id = _wait_until_run_finished(airflow, api)
    page.goto(f"/dags/{EXAMPLE}/runs/{run_id}/tasks/replicate/details")
    button = page.get_by_role("link", name="Source in Stitch")
    expect(button).to_be_visible()
    screenshot("task")
    # The tests cannot access Stitch's web site, so the browser receives a fake page.
    page.context.route("https://app.stitchdata.com/**", lambda route: route.fulfill(body="Stitch's page"))
    with page.context.expect_page() as opened:
        button.click()

    assert opened.value.url == STITCH_PAGE


def test_log_of_a_task_shows_the_phases_of_its_job(
    page: Page, airflow: LocalAirflow, api: AirflowApi, screenshot
) -> None:
    run_id = _wait_until_run_finished(airflow, api)

    page.goto(f"/dags/{EXAMPLE}/runs/{run_id}/tasks/replicate")

    for text in ("Extraction finished after", "2 streams to load:", "Loaded commits: 412 rows", "Done: 512"):
        expect(page.get_by_text(text).first).to_be_visible()
    screenshot("task_log")


def test_xcom_of_a_task_shows_the_rows_of_its_streams(
    page: Page, airflow: LocalAirflow, api: AirflowApi, screenshot
) -> None:
    run_id = _wait_until_run_finished(airflow, api)

    page.goto(f"/dags/{EXAMPLE}/runs/{run_id}/tasks/replicate/xcom")

    expect(page.get_by_text("return_value").first).to_be_visible()
    page.get_by_role("button", name="Expand all extra JSON").click()
    expect(page.get_by_text("source_name").first).to_be_visible()
    screenshot("task_xcom")


def test_graph_of_a_run_shows_its_tasks(
    page: Page, airflow: LocalAirflow, api: AirflowApi, screenshot
) -> None:
    run_id = _wait_until_run_finished(airflow, api)

    page.goto(f"/dags/{EXAMPLE}/runs/{run_id}")
    page.get_by_role("button", name="Show Graph").click()

    expect(page.get_by_test_id("rf__node-replicate")).to_be_visible()
    expect(page.get_by_test_id("rf__node-transform")).to_be_visible()
    screenshot("run")


def test_graph_of_an_asset_shows_the_dags_around_it(page: Page, api: AirflowApi, screenshot) -> None:
    deadline = Deadline(TIMEOUT)
    deadline.wait_until(lambda: bool(api.runs("rebuild_orders")), "the run that an asset event starts")

    page.goto("/assets")
    page.get_by_role("link", name="stitch://stitch_default/shop_pg/orders").click()

    expect(page.get_by_text("rebuild_orders").first).to_be_visible()
    expect(page.get_by_text("replicate_shop").first).to_be_visible()
    screenshot("asset_graph")


def _wait_until_run_finished(airflow: LocalAirflow, api: AirflowApi) -> str:
    """Wait until the DAG run that Airflow schedules has finished, and return its run id.

    Airflow schedules this run after it has parsed the DAG.
    """
    deadline = Deadline(TIMEOUT)
    deadline.wait_until(lambda: api.has_dag(EXAMPLE), f"Airflow to parse the DAG {EXAMPLE}")
    deadline.wait_until(lambda: bool(api.runs(EXAMPLE)), "its run")
    (run_id,) = api.runs(EXAMPLE)
    states: dict[str, str | None] = {}

    def is_finished() -> bool:
        states.update(api.states_of_tasks(EXAMPLE, run_id))
        return not {None, "scheduled", "queued", "running", "deferred"} & set(states.values())

    try:
        deadline.wait_until(is_finished, "the end of its run")
    finally:
        for log in sorted(airflow.logs_folder.rglob(f"dag_id={EXAMPLE}/**/*.log")):
            logger.warning("%s ends with\n%s", log, "\n".join(last_lines(log, 5)))
    assert states == {"replicate": "success", "transform": "success"}
    return run_id
