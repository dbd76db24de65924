"""Clients that all triggers in an event loop share, with one client per connection."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airflow_provider_stitch.hooks.stitch import StitchHook, shared_client_from
from airflow_provider_stitch.replication.polling.concurrency import SingleFlight

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.client import StitchClient


async def shared_client(stitch_conn_id: str) -> StitchClient:
    """Return the client of a connection.

    Concurrent callers wait for a single read of the connection. If a thousand triggers started at once and
    each trigger read the connection, the reads would take minutes.
    """
    shared = _shared_clients.setdefault(asyncio.get_running_loop(), {})
    if stitch_conn_id not in shared:
        shared[stitch_conn_id] = SingleFlight(sync_to_async(partial(_read_client, stitch_conn_id)))
    return await shared[stitch_conn_id].result()


def _read_client(stitch_conn_id: str) -> StitchClient:
    return shared_client_from(StitchHook.get_connection(stitch_conn_id))


_shared_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SingleFlight[StitchClient]]]
_shared_clients = WeakKeyDictionary()
