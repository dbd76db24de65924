"""Functions that find the source of a task, and find the same source again in a later try."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.hooks.stitch import StitchHook
    from airflow_provider_stitch.replication.session import AccountSession


async def find_source(hook: StitchHook, session: AccountSession, source: int | str) -> Source:
    """Return the source with this id, name or display name."""
    found = await session.call(lambda: hook.resolve_source(source))
    # Read the client ID here, with retries. If the connection does not contain the client ID, the client
    # requests it from Stitch.
    await session.call(lambda: session.client.client_id)
    return found


async def find_same_source(
    hook: StitchHook, session: AccountSession, source_id: int, client_id: int | None
) -> Source:
    """Return the source that an earlier try or wait used, even if the source has been renamed since then.

    :param client_id: client ID of the account that the earlier try or wait used. Pass None if the account is
        unknown.
    :raises StitchConfigurationError: if the connection now belongs to another account.
    """
    from airflow_provider_stitch.connect.errors import StitchConfigurationError

    current_client_id = await session.call(lambda: session.client.client_id)
    if client_id is not None and current_client_id != client_id:
        raise StitchConfigurationError(
            f"The connection {hook.stitch_conn_id!r} now belongs to Stitch account {current_client_id}, but "
            f"source {source_id}, which this task used before, is in account {client_id}. No job was "
            "started. Restore the connection, or clear the task if it should run in the other account.",
            source_id=source_id,
        )
    return await session.call(lambda: session.client.get_source(source_id))
