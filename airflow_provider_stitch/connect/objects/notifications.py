"""Who is told of what: further recipients of Stitch's e-mails, and post-load hooks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.connect._json import excerpt, integer, mapping, record, required_integer, text
from airflow_provider_stitch.connect.errors import UnexpectedAnswer
from airflow_provider_stitch.connect.objects.times import time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class CustomEmail:
    """A further recipient of Stitch's e-mails. Source: Stitch Connect API, "Custom email object"."""

    id: int
    client_id: int | None
    email_address: str | None
    created_at: datetime | None
    modified_at: datetime | None
    disabled_at: datetime | None  #: None: it gets e-mails
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> CustomEmail:
        email = record(data, "custom e-mail")
        return cls(
            id=required_integer(email, "id"),
            client_id=integer(email, "client_id"),
            email_address=text(email, "email_address"),
            created_at=time(email, "created_at"),
            modified_at=time(email, "modified_at"),
            disabled_at=time(email, "disabled_at"),
            raw=email,
        )


@dataclass(frozen=True, slots=True)
class PostLoadHook:
    """A webhook that Stitch calls after it has loaded rows. Source: Stitch Connect API, "Hook object"."""

    id: int
    client_id: int | None
    type: str | None  #: `post_load`
    version: int | None
    #: Not shown: Stitch sends no header of ours, so a secret can only be in here.
    url: str | None = field(repr=False)
    destination_id: int | None  #: only the answer to the creation is sure to tell it
    created_at: datetime | None
    modified_at: datetime | None
    disabled_at: datetime | None  #: None: it is called
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> PostLoadHook:
        hook = record(data, "post-load hook")
        return cls(
            id=required_integer(hook, "id"),
            client_id=integer(hook, "client_id"),
            type=text(hook, "type"),
            version=integer(hook, "version"),
            url=text(mapping(hook, "config") or {}, "url"),
            destination_id=_destination_id(hook),
            created_at=time(hook, "created_at"),
            modified_at=time(hook, "modified_at"),
            disabled_at=time(hook, "disabled_at"),
            raw=hook,
        )


def _destination_id(hook: Mapping[str, Any]) -> int | None:
    # Samples have an integer beside `config`; one description a text such as destination_12345 within it.
    value = hook.get("destination_id")
    if value is None:
        value = (mapping(hook, "config") or {}).get("destination_id")
    if isinstance(value, str) and (
        number := re.fullmatch(r"(?:destination_)?([0-9]{1,18})", value, re.ASCII)
    ):
        return int(number[1])
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise UnexpectedAnswer(f"`destination_id` is no id: {excerpt(value)}")
