"""Notifications of an account: custom e-mail addresses and post-load hooks.

See "Notifications" in the Stitch Connect API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.api_errors import ApiError
from airflow_provider_stitch.emulator.model.times import format_optional_time, format_time

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.emulator.model.ids import Ids
    from airflow_provider_stitch.emulator.model.quirks import Quirks

#: Maximum number of custom e-mail addresses per account, and maximum number of hooks per account.
MAX_PER_ACCOUNT = 10


@dataclass
class CustomEmail:
    """An additional e-mail address to which Stitch sends notifications."""

    id: int
    client_id: int
    email_address: str
    created_at: datetime
    modified_at: datetime
    disabled_at: datetime | None = None

    def body(self, *, with_modified_at: bool) -> dict[str, Any]:
        """Return the JSON representation of the custom e-mail address.

        :param with_modified_at: whether to include ``modified_at``. Stitch's table of fields contains
            ``modified_at``, but no sample does.
        """
        return {
            "id": self.id,
            "client_id": self.client_id,
            "email_address": self.email_address,
            "created_at": format_time(self.created_at),
            **({"modified_at": format_time(self.modified_at)} if with_modified_at else {}),
            "disabled_at": format_optional_time(self.disabled_at),
        }


@dataclass
class Hook:
    """A URL to which Stitch sends a request after it has loaded or rejected rows of a table."""

    id: int
    client_id: int
    destination_id: int
    url: str
    created_at: datetime
    modified_at: datetime
    disabled_at: datetime | None = None

    def body(self, quirks: Quirks, *, created: bool = False) -> dict[str, Any]:
        """Return the JSON representation of the hook.

        Stitch's documentation is inconsistent about where the hook contains the destination id.

        :param created: whether the object is returned by the request that creates the hook. Stitch's sample
            of the response to this request has the destination id at the top level.
        """
        place = "top" if created and quirks.hook_destination == "created" else quirks.hook_destination
        config = {"url": self.url}
        if place == "config":
            config["destination_id"] = f"destination_{self.destination_id}"
        return {
            "id": self.id,
            "client_id": self.client_id,
            "type": "post_load",
            "version": 1,
            **({"destination_id": self.destination_id} if place == "top" else {}),
            "config": config,
            "created_at": format_time(self.created_at),
            "modified_at": format_time(self.modified_at),
            "disabled_at": format_optional_time(self.disabled_at),
        }

    def receives(self, destination_id: int, loaded_at: datetime) -> bool:
        """Return whether Stitch sends a request to this hook after a load."""
        return (
            self.destination_id == destination_id
            and self.disabled_at is None
            and self.created_at <= loaded_at
        )


class Notifications:
    """The custom e-mail addresses and hooks of one account."""

    def __init__(self, client_id: int, ids: Ids) -> None:
        self._client_id = client_id
        self._ids = ids
        self.custom_emails: dict[int, CustomEmail] = {}
        self.hooks: dict[int, Hook] = {}

    def add_custom_email(self, address: str, now: datetime, *, allowed: bool = True) -> CustomEmail:
        """Add a custom e-mail address.

        :param allowed: whether the account's pricing plan includes custom e-mail addresses.
        :raises ApiError: if the pricing plan does not include custom e-mail addresses, or if the account
            already has the maximum number of addresses.
        """
        if not allowed:
            raise _account_error("not authorized to create custom notification email addresses.")
        if len(self.custom_emails) >= MAX_PER_ACCOUNT:
            raise _account_error("not authorized to create additional custom notification email addresses.")
        added = CustomEmail(self._ids.take("custom_email"), self._client_id, address, now, now)
        self.custom_emails[added.id] = added
        return added

    def add_hook(self, destination_id: int, url: str, now: datetime, *, allowed: bool = True) -> Hook:
        """Add a hook.

        :param allowed: whether the account's pricing plan includes hooks.
        :raises ApiError: if the pricing plan does not include hooks, or if the account already has the
            maximum number of hooks.
        """
        if not allowed:
            raise ApiError(400, {"error": {"message": "Client does not have access to hooks."}})
        if len(self.hooks) >= MAX_PER_ACCOUNT:
            # Stitch's own message contains the placeholder "[LIMIT]".
            raise ApiError(400, {"error": {"message": "You have exceeded the limit of [LIMIT] hooks."}})
        added = Hook(self._ids.take("hook"), self._client_id, destination_id, url, now, now)
        self.hooks[added.id] = added
        return added

    def delete_hooks_of(self, destination_id: int) -> None:
        """Delete the hooks of a deleted destination."""
        self.hooks = {n: hook for n, hook in self.hooks.items() if hook.destination_id != destination_id}


def _account_error(message: str) -> ApiError:
    return ApiError(400, {"error": {"message": f"Account {message}"}})
