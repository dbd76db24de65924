"""Whom Stitch tells: custom e-mail addresses and post-load hooks of an account.

Source: Stitch Connect API, "Notifications".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.clock import stamp, stamp_or_none
from airflow_provider_stitch.emulator.refusal import Refusal

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_stitch.emulator.ids import Ids
    from airflow_provider_stitch.emulator.plans import Quirks

#: An account has at most so many addresses, and as many hooks.
MOST = 10


@dataclass
class CustomEmail:
    """An address that Stitch's own e-mails go to, too."""

    id: int
    client_id: int
    email_address: str
    created_at: datetime
    modified_at: datetime
    disabled_at: datetime | None = None

    def body(self, *, with_modified_at: bool) -> dict[str, Any]:
        """The Custom email object. ``modified_at`` is in a field table, but in no sample."""
        return {
            "id": self.id,
            "client_id": self.client_id,
            "email_address": self.email_address,
            "created_at": stamp(self.created_at),
            **({"modified_at": stamp(self.modified_at)} if with_modified_at else {}),
            "disabled_at": stamp_or_none(self.disabled_at),
        }


@dataclass
class Hook:
    """A URL that Stitch posts to after it loaded, or rejected, rows of a table."""

    id: int
    client_id: int
    destination_id: int
    url: str
    created_at: datetime
    modified_at: datetime
    disabled_at: datetime | None = None

    def body(self, quirks: Quirks, *, created: bool = False) -> dict[str, Any]:
        """The Hook object. Where it names its destination is told in two ways, and samples have none.

        :param created: it answers a creation, whose sample has the destination at the top.
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
            "created_at": stamp(self.created_at),
            "modified_at": stamp(self.modified_at),
            "disabled_at": stamp_or_none(self.disabled_at),
        }

    def wants(self, destination_id: int, loaded_at: datetime) -> bool:
        """Whether it is told of a load."""
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
        """A further address.

        :raises Refusal: the account's plan has none, or there are as many as can be.
        """
        if not allowed:
            raise _account("not authorized to create custom notification email addresses.")
        if len(self.custom_emails) >= MOST:
            raise _account("not authorized to create additional custom notification email addresses.")
        added = CustomEmail(self._ids.take("custom_email"), self._client_id, address, now, now)
        self.custom_emails[added.id] = added
        return added

    def add_hook(self, destination_id: int, url: str, now: datetime, *, allowed: bool = True) -> Hook:
        """A further hook.

        :raises Refusal: the account's plan has none, or there are as many as can be.
        """
        if not allowed:
            raise Refusal(400, {"error": {"message": "Client does not have access to hooks."}})
        if len(self.hooks) >= MOST:
            # The brackets are Stitch's own.
            raise Refusal(400, {"error": {"message": "You have exceeded the limit of [LIMIT] hooks."}})
        added = Hook(self._ids.take("hook"), self._client_id, destination_id, url, now, now)
        self.hooks[added.id] = added
        return added

    def delete_hooks_of(self, destination_id: int) -> None:
        """The hooks bound to a destination go with it."""
        self.hooks = {n: hook for n, hook in self.hooks.items() if hook.destination_id != destination_id}


def _account(complaint: str) -> Refusal:
    return Refusal(400, {"error": {"message": f"Account {complaint}"}})
