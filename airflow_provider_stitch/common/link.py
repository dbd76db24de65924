"""The link from a task to the page of its source in Stitch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


class StitchSourceLink(BaseOperatorLink):
    """The button that opens the page of the task's source in Stitch."""

    name = "Source in Stitch"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the URL that the task wrote to XCom, or an empty string if XCom does not contain it."""
        from airflow.providers.common.compat.sdk import XCom

        from airflow_provider_stitch.triggers.task_context import LINK_KEY

        return XCom.get_value(key=LINK_KEY, ti_key=ti_key) or ""
