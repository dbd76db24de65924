"""DAGs that update the assets of sources and streams, and DAGs that are scheduled by these assets."""

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_stitch.assets import stitch_stream
from airflow_provider_stitch.operators.stitch import StitchRunReplicationJobOperator

# On a busy machine, Airflow sometimes loses a try. The next try resumes the job, so each job still causes
# exactly one event.
RETRIES = {"retries": 9, "retry_delay": timedelta(0)}
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
MAPPED_SOURCES = [f"assets_mapped_{number}" for number in range(5)]
SOURCES = ["assets_in_worker", "assets_deferred", *MAPPED_SOURCES]


class DoNothing(BaseOperator):
    """An operator that does nothing, in place of a dbt run."""

    def execute(self, context):
        """Succeed."""


for source in ("assets_in_worker", "assets_deferred", "assets_many"):
    with DAG(source, schedule=None, start_date=START):
        StitchRunReplicationJobOperator(
            task_id="replicate",
            source=source,
            emit_assets=True,
            deferrable=source == "assets_deferred",
            **RETRIES,
        )

with DAG("assets_mapped", schedule=None, start_date=START):
    StitchRunReplicationJobOperator.partial(
        task_id="replicate", emit_assets=True, deferrable=True, **RETRIES
    ).expand(source=MAPPED_SOURCES)

for source in SOURCES:
    for stream in ("commits", "quiet"):
        with DAG(
            f"on_{source}_{stream}", schedule=[stitch_stream(source, stream)], start_date=START, catchup=False
        ):
            DoNothing(task_id="build")
