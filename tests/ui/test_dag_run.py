"""An example DAG in Airflow's pages, and the way from there to Stitch's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from local_airflow.processes import last_lines
from local_airflow.waiting import Deadline

from .conftest import EXAMPLE, PATIENCE

if TYPE_CHECKING:
    from local_airflow.processes import LocalAirflow
    from local_airflow.rest import AirflowApi

logger = logging.getLogger(__name__)

STITCH_PAGE = "https://app.stitchdata.com/client/104857/pipeline/v2/sources/310442/summary"


def test_the_button_of_a_task_leads_to_its_source(
    page: Page, airflow: LocalAirflow, api: AirflowApi, picture
) -> None:
    run_id = _run_to_its_end(airflow, api)
    page.goto(f"/dags/{EXAMPLE}/runs/{run_id}/tasks/replicate/details")
    button = page.get_by_role("link", name="Source in Stitch")
    expect(button).to_be_visible()
    picture("task")
    # Stitch itself can't be reached from a test.
    page.context.route("https://app.stitchdata.com/**", lambda route: route.fulfill(body="Stitch's page"))
    with page.context.expect_page() as opened:
        button.click()

    assert opened.value.url == STITCH_PAGE


def _run_to_its_end(airflow: LocalAirflow, api: AirflowApi) -> str:
    """Wait for the run that the DAG's schedule begins as soon as Airflow knows the DAG."""
    deadline = Deadline(PATIENCE)
    deadline.wait_until(lambda: api.has_dag(EXAMPLE), f"Airflow to read the DAG {EXAMPLE}")
    deadline.wait_until(lambda: bool(api.runs(EXAMPLE)), "its run")
    (run_id,) = api.runs(EXAMPLE)
    states: dict[str, str | None] = {}

    def is_over() -> bool:
        states.update(api.states_of_tasks(EXAMPLE, run_id))
        return not {None, "scheduled", "queued", "running", "deferred"} & set(states.values())

    try:
        deadline.wait_until(is_over, "the end of its run")
    finally:
        for log in sorted(airflow.logs_folder.rglob(f"dag_id={EXAMPLE}/**/*.log")):
            logger.warning("%s ends with\n%s", log, "\n".join(last_lines(log, 5)))
    assert states == {"replicate": "success", "transform": "success"}
    return run_id
