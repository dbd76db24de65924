"""Functions that report a loaded job to OpenLineage, and to DAGs that are scheduled by the job's assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_stitch.lineage import GATHER_SECONDS, Lineage, gather, is_enabled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

# Maximum time for reading the lineage, as a fraction of `execution_timeout`. When a task stops waiting, up to
# 10 % of its `execution_timeout` remains. At most half of the remaining time is used to read the lineage.
EXECUTION_TIMEOUT_SHARE = 0.05


def report_load(task: Any, context: Context, result: Mapping[str, Any]) -> None:
    """Read the lineage of a job if OpenLineage or an asset needs the lineage.

    Add the asset events to the task.

    :param task: an operator or sensor of this package.
    :param result: the task's XCom.
    """
    has_assets = any(isinstance(outlet, Asset) for outlet in task.outlets)
    updates_assets = has_assets or task.emit_assets is not False
    has_lineage = is_enabled(task)
    if not (updates_assets or has_lineage):
        return
    lineage = _gather(task, result, with_inputs=has_lineage)
    if has_lineage:
        task.lineage = lineage
    if updates_assets:
        from airflow_provider_stitch.common.asset_events import add_asset_events

        add_asset_events(task, context, result, lineage.table_uris)


def _gather(task: Any, result: Mapping[str, Any], *, with_inputs: bool) -> Lineage:
    seconds = GATHER_SECONDS
    if task.execution_timeout is not None:
        seconds = min(seconds, task.execution_timeout.total_seconds() * EXECUTION_TIMEOUT_SHARE)
    try:
        return gather(
            task.hook.client, result, with_inputs=with_inputs, seconds=seconds, log_warning=task.log.warning
        )
    except Exception as error:  # noqa: BLE001 - a lineage error must not fail a finished task
        task.log.warning("Could not determine the lineage of job %s: %s", result["job_name"], error)
        return Lineage(result["job_name"], result["client_id"], ())
