"""The Airflow plugin that mounts the receiver of Stitch's webhooks in the API server.

Airflow loads plugins in all of its processes, so this module does not import the receiver until the first
request arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_stitch.triggers.versions import HAS_SHARED_STREAMS

if TYPE_CHECKING:
    from airflow_provider_stitch.web.receiver import Message, Receive, Send

URL_PREFIX = "/stitch/hooks"


async def receive_webhook(scope: Message, receive: Receive, send: Send) -> None:
    """Respond to one request, as an ASGI application."""
    from airflow_provider_stitch.web.receiver import respond

    await respond(scope, receive, send)


class StitchPlugin(AirflowPlugin):
    """Mounts `POST /stitch/hooks/<connection id>?token=<secret>`; see `receiver`.

    Before Airflow 3.3 the plugin mounts nothing.
    """

    name = "stitch"
    fastapi_apps = (
        [{"app": receive_webhook, "url_prefix": URL_PREFIX, "name": "Stitch webhooks"}]
        if HAS_SHARED_STREAMS
        else []
    )
