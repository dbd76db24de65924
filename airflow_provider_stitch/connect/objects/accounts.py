"""What gives access: tokens of accounts, of browser sessions, of Import API sources.

Each token is a SecretText, and is left out of `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_stitch.connect._json import integer, record, required_integer, required_text, text
from airflow_provider_stitch.connect.objects.times import time
from airflow_provider_stitch.connect.secret_text import SecretText

EPHEMERAL_TOKEN_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AccountAccess:
    """A Stitch account, and the token that gives access to it.

    Source: Stitch Connect API, "Account object".
    """

    stitch_account_id: int  #: what other objects call `stitch_client_id`
    access_token: SecretText  #: never expires
    token_type: str | None  #: `bearer`, if it was got for a code
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> AccountAccess:
        account = record(data, "account")
        return cls(
            stitch_account_id=required_integer(account, "stitch_account_id"),
            access_token=SecretText(required_text(account, "access_token")),
            token_type=text(account, "token_type"),
            raw=_without("access_token", account),
        )


@dataclass(frozen=True, slots=True)
class EphemeralToken:
    """Opens one browser session in Stitch's application. Source: Stitch Connect API, "Session object"."""

    ephemeral_token: SecretText
    expires_at: datetime | None  #: by Stitch's own clock; None if its answer told no time
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object, *, answered_at: datetime | None) -> EphemeralToken:
        session = record(data, "session")
        return cls(
            ephemeral_token=SecretText(required_text(session, "ephemeral_token")),
            expires_at=None if answered_at is None else answered_at + EPHEMERAL_TOKEN_LIFETIME,
            raw=_without("ephemeral_token", session),
        )


@dataclass(frozen=True, slots=True)
class ImportToken:
    """A token that pushes rows to one Import API source.

    Source: Stitch Connect API, "Import API access tokens".
    """

    id: int  #: the greater, the newer
    created_at: datetime | None  #: only lists tell it, and not all of them
    access_token: SecretText | None  #: only of a token just created: it is shown once
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_creation(cls, data: object) -> ImportToken:
        """Make a token of the answer to its creation."""
        token = record(data, "Import API token")
        return cls(
            id=required_integer(token, "id"),
            created_at=time(token, "created_at"),
            access_token=SecretText(required_text(token, "access_token")),
            raw=_without("access_token", token),
        )

    @classmethod
    def from_list(cls, data: object) -> ImportToken:
        """Make a token of an entry of the list: an id alone, or since August 2021 an object."""
        entry = data if isinstance(data, Mapping) else {"token_id": data}
        found = integer(entry, "token_id")
        return cls(
            id=required_integer(entry, "id") if found is None else found,
            created_at=time(entry, "created_at"),
            access_token=None,
            raw=_without("access_token", entry),
        )


def _without(secret: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in data.items() if key != secret}
