"""Classes for additional recipients of Stitch's e-mails and for post-load hooks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect.errors import UnexpectedResponse
from airflow_provider_stitch.connect.objects.json import (
    excerpt,
    json_object,
    optional_integer,
    optional_object,
    optional_string,
    required_integer,
)
from airflow_provider_stitch.connect.objects.times import optional_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class CustomEmail:
    """An additional recipient of Stitch's e-mails. Source: Stitch Connect API, "Custom email object"."""

    id: int
    client_id: int | None
    email_address: str | None
    created_at: datetime | None
    modified_at: datetime | None
    disabled_at: datetime | None  #: when the recipient was disabled, or None if enabled
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> CustomEmail:
        email = json_object(data, "custom e-mail")
        return cls(
            id=required_integer(email, "id"),
            client_id=optional_integer(email, "client_id"),
            email_address=optional_string(email, "email_address"),
            created_at=optional_time(email, "created_at"),
            modified_at=optional_time(email, "modified_at"),
            disabled_at=optional_time(email, "disabled_at"),
            raw=email,
        )


@dataclass(frozen=True, slots=True)
class PostLoadHook:
    """A webhook that Stitch calls after it loads rows. Source: Stitch Connect API, "Hook object"."""

    id: int
    client_id: int | None
    type: str | None  #: `post_load`
    version: int | None
    #: The URL is not part of the repr. Hooks have no custom headers, so a user can pass a secret only in the
    #: URL.
    url: str | None = field(repr=False)
    destination_id: int | None  #: documented only for the response to the request that creates the hook
    created_at: datetime | None
    modified_at: datetime | None
    disabled_at: datetime | None  #: when the hook was disabled, or None if enabled
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> PostLoadHook:
        hook = json_object(data, "post-load hook")
        return cls(
            id=required_integer(hook, "id"),
            client_id=optional_integer(hook, "client_id"),
            type=optional_string(hook, "type"),
            version=optional_integer(hook, "version"),
            url=optional_string(optional_object(hook, "config") or {}, "url"),
            destination_id=_destination_id(hook),
            created_at=optional_time(hook, "created_at"),
            modified_at=optional_time(hook, "modified_at"),
            disabled_at=optional_time(hook, "disabled_at"),
            raw=hook,
        )


def _destination_id(hook: Mapping[str, Any]) -> int | None:
    # In the samples, the destination id is an integer outside of `config`. One description mentions a string
    # inside of `config`, such as destination_12345.
    value = hook.get("destination_id")
    if value is None:
        value = (optional_object(hook, "config") or {}).get("destination_id")
    if isinstance(value, str) and (
        number := re.fullmatch(r"(?:destination_)?([0-9]{1,18})", value, re.ASCII)
    ):
        return int(number[1])
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise UnexpectedResponse(f"`destination_id` is not an id: {excerpt(value)}")
