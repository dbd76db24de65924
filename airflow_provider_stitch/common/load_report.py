"""Report a loaded job to OpenLineage and to the DAGs that are scheduled by its assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_stitch.lineage import GATHER_SECONDS, Lineage, gather, is_enabled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

# Maximum part of `execution_timeout` that reading the lineage may take. When the task stops waiting, up to a
# tenth of `execution_timeout` remains, and this part is half of that tenth.
EXECUTION_TIMEOUT_SHARE = 0.05


def report_load(task: Any, context: Context, result: Mapping[str, Any]) -> None:
    """Read the lineage of a job if OpenLineage or an asset needs it, and add the asset events to the task.

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
    except Exception as error:  # noqa: BLE001 - lineage must not fail a task that has done its work
        task.log.warning("Could not determine the lineage of job %s: %s", result["job_name"], error)
        return Lineage(result["job_name"], result["client_id"], ())
