"""Functions that emit asset events for the sources and streams that a job has loaded.

The events are emitted through an asset alias. At run time, a task can choose which assets to update through
an alias. In contrast, Airflow always updates an asset that is an outlet of the task. A DAG file that sets
`emit_assets` imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_stitch.common.asset_uris import SCHEME, source_uri, stream_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

# Airflow registers the events during the request that ends a task. With a thousand events, this request took
# 18 s, and the task failed after its work was done.
MAX_STREAM_EVENTS = 50


def validate_emit_assets(emit_assets: bool | Sequence[str]) -> None:  # noqa: FBT001 - as in operators
    """Validate the argument `emit_assets`.

    :raises ValueError: if `emit_assets` is neither a boolean nor a list of names.
    """
    if isinstance(emit_assets, bool):
        return
    is_list = isinstance(emit_assets, (list, tuple, set, frozenset))
    if not is_list or not all(isinstance(name, str) for name in emit_assets):
        raise ValueError(
            f"emit_assets must be True, False, or a list of stream names; it was {emit_assets!r}."
        )


def alias(stitch_conn_id: Any) -> AssetAlias:
    """Return the asset alias for a connection.

    If `stitch_conn_id` is a template or the output of another task, return the alias `stitch`.
    """
    is_known = isinstance(stitch_conn_id, str) and "{{" not in stitch_conn_id and "{%" not in stitch_conn_id
    return AssetAlias(f"{SCHEME}://{quote(stitch_conn_id, safe='')}" if is_known else SCHEME)


def add_asset_events(
    task: Any, context: Context, result: Mapping[str, Any], table_uris: Mapping[str, str]
) -> None:
    """Emit the asset events for a loaded job, and describe the job in the events of the task's other outlets.

    :param task: an operator or sensor with `emit_assets`, `outlets`, `stitch_conn_id` and `log`.
    :param result: the task's XCom.
    :param table_uris: the URIs of the tables in the destination, by stream. Streams with unknown tables are
        not included.
    """
    events: Any = context["outlet_events"]
    source, stitch_conn_id = result["source_name"], task.stitch_conn_id
    streams = {
        stream_uri(stitch_conn_id, source, name): _stream_extra(result, name, table_uris)
        for name in result["streams"]
    }
    extras = {source_uri(stitch_conn_id, source): _source_extra(result), **streams}
    declared = [outlet for outlet in task.outlets if isinstance(outlet, Asset)]
    for asset in declared:
        extra = extras.get(asset.uri, _source_extra(result))
        if _is_stream_of(asset.uri, stitch_conn_id, source) and asset.uri not in extras:
            # The job had no rows of this stream, but Airflow updates the asset nevertheless.
            extra = {"job_name": result["job_name"], "rows": 0}
        event = events[asset]
        event.extra = {**extra, **event.extra}
    if task.emit_assets is not False:
        declared_uris = {asset.uri for asset in declared}
        emitted = {
            uri: extra for uri, extra in _emitted(task, result, extras).items() if uri not in declared_uris
        }
        _emit(task, events, emitted)


def _emitted(
    task: Any, result: Mapping[str, Any], extras: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the extras of the assets that `emit_assets` updates, by URI."""
    source, stitch_conn_id = result["source_name"], task.stitch_conn_id
    names = [name for name in result["streams"] if task.emit_assets is True or name in task.emit_assets]
    if len(names) > MAX_STREAM_EVENTS:
        task.log.warning(
            "Updating only the asset of source %s, because %d of its streams had rows and Airflow is slow "
            "to register more than %d events. To update assets of streams, set emit_assets to a list of up "
            "to %d stream names.",
            source,
            len(names),
            MAX_STREAM_EVENTS,
            MAX_STREAM_EVENTS,
        )
        names = []
    uris = [source_uri(stitch_conn_id, source), *(stream_uri(stitch_conn_id, source, name) for name in names)]
    return {uri: extras[uri] for uri in uris}


def _emit(task: Any, events: Any, extras: Mapping[str, dict[str, Any]]) -> None:
    aliases = [outlet for outlet in task.outlets if isinstance(outlet, AssetAlias) and _is_ours(outlet)]
    if not aliases:  # the DAG author has replaced the outlets
        aliases = [alias(task.stitch_conn_id)]
        task.outlets = [*task.outlets, *aliases]
    _register_alias(aliases[0])
    updated = []
    for uri, extra in extras.items():
        try:
            asset = Asset(uri=uri)
        except ValueError as error:
            task.log.warning("Not updating the asset %.200s, because Airflow rejects it: %s", uri, error)
            continue
        events[aliases[0]].add(asset, extra=extra)
        updated.append(uri)
    if updated:
        task.log.info("Updating assets: %s", ", ".join(updated))


def _is_ours(outlet: AssetAlias) -> bool:
    return outlet.name == SCHEME or outlet.name.startswith(f"{SCHEME}://")


def _is_stream_of(uri: str, stitch_conn_id: str, source: str) -> bool:
    return uri.startswith(f"{source_uri(stitch_conn_id, source)}/")


def _source_extra(result: Mapping[str, Any]) -> dict[str, Any]:
    rows = [stream["rows"] for stream in result["streams"].values()]
    total = None if None in rows else sum(rows)
    return _flat(job_name=result["job_name"], rows=total, loaded_at=result["loaded_at"])


def _stream_extra(result: Mapping[str, Any], name: str, table_uris: Mapping[str, str]) -> dict[str, Any]:
    stream = result["streams"][name]
    return _flat(
        job_name=result["job_name"],
        rows=stream["rows"],
        loaded_at=stream["loaded_at"],
        table_uri=table_uris.get(name),
    )


def _flat(**extra: Any) -> dict[str, Any]:
    # Airflow 2 computes a hash of each value, and fails the task if a value is a list or dict.
    return {key: value for key, value in extra.items() if value is not None}


def _register_alias(declared: AssetAlias) -> None:
    """Store an alias in the database of Airflow 2.

    The outlets of a mapped task are created when the task runs, so Airflow does not find them in the DAG
    file. Airflow 2 fails a task if an alias is not in the database. Airflow 3 adds the alias itself.
    """
    from airflow_provider_stitch.triggers.versions import RELEASE

    if RELEASE >= (3,):
        return
    from airflow import settings
    from airflow.models.dataset import DatasetAliasModel
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import Session

    # Use a new session, because closing this thread's session would end the task's transaction.
    with Session(bind=settings.engine) as session:
        if session.scalar(select(DatasetAliasModel.id).where(DatasetAliasModel.name == declared.name)):
            return
        session.add(DatasetAliasModel(name=declared.name))
        try:
            session.commit()
        except IntegrityError:  # another task has stored the alias in the meantime
            session.rollback()
