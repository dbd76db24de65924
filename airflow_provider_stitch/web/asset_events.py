"""Functions that read the webhook secret of a connection, and store webhooks as asset events.

Providers may use Airflow's database only in the API server. Airflow has no public function that creates an
asset event for a plugin, so this module calls the function that the REST API calls.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow.assets.manager import asset_manager
from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.utils.retries import run_with_db_retries
from airflow.utils.session import create_session
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_stitch.common.asset_uris import source_uri, stream_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from airflow_provider_stitch.web.payload import PostLoad

log = logging.getLogger(__name__)

CONNECTION_TYPE = "stitch"

# Time during which a repeated delivery of a webhook is recognized. Stitch sends a failed webhook up to five
# more times, but does not document the pauses between the deliveries.
REPEATED_WITHIN = timedelta(days=2)


class DatabaseUnavailableError(Exception):
    """A query to Airflow's database failed.

    The message contains only the class of the original error, because the original message may quote the
    parameters of an SQL statement.
    """


def read_secret(connection_id: str) -> str:
    """Return the webhook secret of a connection, or an empty string if the connection has none.

    :raises DatabaseUnavailableError: if Airflow's database cannot be read.
    """
    with _session() as session:
        # Query the database first, because Airflow reports a connection as missing if the database is down.
        session.execute(select(1))
    try:
        connection = Connection.get_connection_from_secrets(connection_id)
    except AirflowNotFoundException:
        return ""
    secret = connection.extra_dejson.get("webhook_secret")
    return secret if connection.conn_type == CONNECTION_TYPE and isinstance(secret, str) else ""


def store_event(connection_id: str, load: PostLoad) -> str:
    """Store a load as an event of its stream's assets, unless the load is already stored.

    :return: a message for the response.
    :raises DatabaseUnavailableError: if a query to Airflow's database fails. If the query fails, no event is
        stored.
    """
    with _translating_errors():
        for attempt in run_with_db_retries():
            with attempt, create_session() as session:
                asset_ids = _find_assets(connection_id, load, session)
                stored = [_store_once(asset_id, load, session) for asset_id in asset_ids]
    if not stored:
        log.info("Ignored a webhook for the connection %r: no DAG uses the stream's asset", connection_id)
        return "No DAG uses the asset of this stream."
    return "Stored the event." if any(stored) else "This webhook was received before."


def _find_assets(connection_id: str, load: PostLoad, session: Session) -> Sequence[int]:
    """Return the ids of the active assets of a load's stream.

    Stitch does not document whether a webhook contains a source's `name` or its display name. This function
    first looks for an asset whose source has the `name` in the webhook. If there is no such asset, the
    function treats the name as a display name.
    """
    uri = stream_uri(connection_id, load.integration_name, load.stream)
    is_active = AssetModel.active.has()
    found = session.scalars(select(AssetModel.id).where(AssetModel.uri == uri, is_active)).all()
    if found:
        return found
    # This prefix is common to the URIs of all assets that belong to the connection.
    prefix = source_uri(connection_id, "x").removesuffix("x")
    query = select(AssetModel.id, AssetModel.uri).where(
        AssetModel.uri.startswith(prefix, autoescape=True), is_active
    )
    wanted = (_normalized(load.integration_name), load.stream)
    return [asset_id for asset_id, each in session.execute(query) if _normalized_parts(each) == wanted]


def _normalized_parts(uri: str) -> tuple[str, str] | None:
    """Return the normalized source and the stream of a URI, or None if the URI does not identify a stream."""
    parts = urlsplit(uri).path.split("/")[1:]
    if len(parts) != 2:
        return None
    source, stream = (unquote(part, errors="surrogatepass") for part in parts)
    return _normalized(source), stream


def _normalized(source: str) -> str:
    """Return a normalized form, which is the same for a source's `name` and for its display name."""
    return re.sub(r"[\W_]+", "_", source.lower()).strip("_")


def _store_once(asset_id: int, load: PostLoad, session: Session) -> bool:
    """Store an event for an asset, unless the event is already stored. Return whether the event was new."""
    # This update changes no value, but locks the row of the asset until the end of the transaction. A
    # concurrent delivery of the same webhook waits for the lock, and then finds the stored event. On SQLite,
    # the update locks the whole database.
    session.execute(
        update(AssetModel).where(AssetModel.id == asset_id).values(updated_at=AssetModel.updated_at)
    )
    recent = select(AssetEvent.extra).where(
        AssetEvent.asset_id == asset_id, AssetEvent.timestamp >= datetime.now(timezone.utc) - REPEATED_WITHIN
    )
    if any((extra or {}).get("delivery") == load.delivery for extra in session.scalars(recent)):
        return False
    asset = session.get_one(AssetModel, asset_id)
    event = asset_manager.register_asset_change(
        asset=asset, extra=load.to_extra(), session=session, source_is_api=True, api_user_teams=set()
    )
    return event is not None


@contextmanager
def _session() -> Iterator[Session]:
    with _translating_errors(), create_session() as session:
        yield session


@contextmanager
def _translating_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise DatabaseUnavailableError(type(error).__name__) from None
