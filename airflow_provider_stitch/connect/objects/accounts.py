"""Access tokens of accounts, browser sessions and Import API sources.

Each token is stored as a SecretText and removed from `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_stitch.connect.objects.json import (
    json_object,
    optional_integer,
    optional_string,
    required_integer,
    required_string,
)
from airflow_provider_stitch.connect.objects.secret_text import SecretText
from airflow_provider_stitch.connect.objects.times import optional_time

EPHEMERAL_TOKEN_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AccountAccess:
    """A Stitch account and its access token.

    Source: Stitch Connect API, "Account object".
    """

    stitch_account_id: int  #: the account number, called `stitch_client_id` in other objects
    access_token: SecretText  #: never expires
    token_type: str | None  #: `bearer` if the token was obtained with an authorization code
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object) -> AccountAccess:
        account = json_object(data, "account")
        return cls(
            stitch_account_id=required_integer(account, "stitch_account_id"),
            access_token=SecretText(required_string(account, "access_token")),
            token_type=optional_string(account, "token_type"),
            raw=_without("access_token", account),
        )


@dataclass(frozen=True, slots=True)
class EphemeralToken:
    """A token for one browser session in the Stitch app. Source: Stitch Connect API, "Session object"."""

    ephemeral_token: SecretText
    #: When the token expires, by Stitch's clock; None if the time of the response is unknown.
    expires_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: object, *, responded_at: datetime | None) -> EphemeralToken:
        session = json_object(data, "session")
        return cls(
            ephemeral_token=SecretText(required_string(session, "ephemeral_token")),
            expires_at=None if responded_at is None else responded_at + EPHEMERAL_TOKEN_LIFETIME,
            raw=_without("ephemeral_token", session),
        )


@dataclass(frozen=True, slots=True)
class ImportToken:
    """A token for pushing rows to one Import API source.

    Source: Stitch Connect API, "Import API access tokens".
    """

    id: int  #: newer tokens have greater ids
    created_at: datetime | None  #: when the token was created; included only in lists in the newer format
    access_token: SecretText | None  #: included only in the response to the request that creates the token
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_creation(cls, data: object) -> ImportToken:
        """Parse the response to the request that creates a token."""
        token = json_object(data, "Import API token")
        return cls(
            id=required_integer(token, "id"),
            created_at=optional_time(token, "created_at"),
            access_token=SecretText(required_string(token, "access_token")),
            raw=_without("access_token", token),
        )

    @classmethod
    def from_list(cls, data: object) -> ImportToken:
        """Parse an entry in the list of tokens.

        Since August 2021, an entry is an object. In the older format, an entry is an integer id.
        """
        entry = data if isinstance(data, Mapping) else {"token_id": data}
        found = optional_integer(entry, "token_id")
        return cls(
            id=required_integer(entry, "id") if found is None else found,
            created_at=optional_time(entry, "created_at"),
            access_token=None,
            raw=_without("access_token", entry),
        )


def _without(secret: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in data.items() if key != secret}
