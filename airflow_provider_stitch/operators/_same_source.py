"""Find the source of a task, and find the same one again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.hooks.stitch import StitchHook
    from airflow_provider_stitch.replication.session import AccountSession


async def find(hook: StitchHook, session: AccountSession, source: int | str) -> Source:
    """Return the source that a user named."""
    found = await session.call(lambda: hook.resolve_source(source))
    # The account's number is requested here if the connection does not contain it, and known from then on.
    await session.call(lambda: session.client.client_id)
    return found


async def find_again(
    hook: StitchHook, session: AccountSession, source_id: int, client_id: int | None
) -> Source:
    """Return a source that this task found before, by its id: its name may have changed since.

    :param client_id: the account in which it was found; None if that is not known.
    :raises StitchConfigurationError: the connection now leads to another account.
    """
    from airflow_provider_stitch.connect.errors import StitchConfigurationError

    now = await session.call(lambda: session.client.client_id)
    if client_id is not None and now != client_id:
        raise StitchConfigurationError(
            f"The connection {hook.stitch_conn_id!r} leads to Stitch account {now} now, but source "
            f"{source_id}, for which this task began, is in account {client_id}. No job was started. Restore "
            "the connection, or clear the task if it should run in the other account.",
            source_id=source_id,
        )
    return await session.call(lambda: session.client.get_source(source_id))
