"""Airflow assets for the sources and streams of Stitch. In Airflow 2, assets are called datasets.

A task with `emit_assets` updates these assets after a job is loaded. To run a DAG after each update, set
`schedule=stitch_stream("github", "commits")` in the DAG. An asset is identified by its URI,
`stitch://<connection id>/<source>/<stream>`. The parts of the URI are percent-encoded, so that every name is
allowed.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_stitch.common.asset_uris import source_uri, stream_uri

__all__ = ["stitch_source", "stitch_stream"]


def stitch_source(
    source: str, *, stitch_conn_id: str = "stitch_default", watch: bool = False, poll_interval: float = 60
) -> Asset:
    """Return the asset of a source, which is updated when a job of the source is loaded.

    A job without new rows also updates the asset.

    :param source: the source's `name`, as in XComs and in the destination's schemas. If you pass a display
        name or an id, you get a different asset, which no task updates.
    :param stitch_conn_id: id of the Airflow connection that the task or the watcher uses.
    :param watch: also update the asset whenever Stitch has loaded rows from any stream of the source. The
        watcher works even if no task runs, and requires Airflow 3.3 or later.
    :param poll_interval: with `watch`, the minimum number of seconds between two polls.
    :raises ValueError: if a name is empty or not a string.
    :raises ImportError: if `watch` is set and the version of Airflow is before 3.3.
    """
    uri = source_uri(stitch_conn_id, source)
    return Asset(uri=uri, **_watchers(uri, source, None, stitch_conn_id, poll_interval) if watch else {})


def stitch_stream(
    source: str,
    stream: str,
    *,
    stitch_conn_id: str = "stitch_default",
    watch: bool = False,
    poll_interval: float = 60,
) -> Asset:
    """Return the asset of a stream, which is updated when a job has loaded new rows of the stream.

    :param source: the source's `name`, as in XComs and in the destination's schemas. If you pass a display
        name or an id, you get a different asset, which no task updates.
    :param stream: the `stream_name`, as in the XCom of StitchRunReplicationJobOperator.
    :param stitch_conn_id: id of the Airflow connection that the task or the watcher uses.
    :param watch: also update the asset whenever Stitch has loaded rows of the stream. The watcher works even
        if no task runs, and requires Airflow 3.3 or later.
    :param poll_interval: with `watch`, the minimum number of seconds between two polls.
    :raises ValueError: if a name is empty or not a string.
    :raises ImportError: if `watch` is set and the version of Airflow is before 3.3.
    """
    uri = stream_uri(stitch_conn_id, source, stream)
    return Asset(uri=uri, **_watchers(uri, source, stream, stitch_conn_id, poll_interval) if watch else {})


def _watchers(
    uri: str, source: str, stream: str | None, stitch_conn_id: str, poll_interval: float
) -> dict[str, Any]:
    """Return the keyword argument that adds a watcher to an asset.

    :raises ImportError: if the version of Airflow is before 3.3.
    """
    # These imports are local, because a DAG file without a watcher must not import Airflow's triggers. The
    # import of StitchLoadTrigger must be the first, because it fails before Airflow 3.3 with a message that
    # describes the alternatives to a watcher.
    from airflow_provider_stitch.triggers.loads import StitchLoadTrigger  # isort: skip
    from airflow.sdk import AssetWatcher

    trigger = StitchLoadTrigger(source, stream, stitch_conn_id, poll_interval, asset_uri=uri)
    return {"watchers": [AssetWatcher(name="stitch_loads", trigger=trigger)]}
