"""A DAG that updates the assets of a source, and a DAG that starts when one of the streams has new rows."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_stitch.assets import stitch_stream
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

START = datetime(2026, 1, 1, tzinfo=timezone.utc)

with DAG("replicate_shop", schedule="0 5 * * *", start_date=START, catchup=False):
    StitchRunReplicationJobOperator(task_id="replicate", source="shop_pg", emit_assets=True, deferrable=True)

with DAG("rebuild_orders", schedule=[stitch_stream("shop_pg", "orders")], start_date=START, catchup=False):

    @task
    def rebuild() -> None:
        print("Rebuilding the models of orders")

    rebuild()
