"""The partner who manages accounts in this Stitch: credentials, and codes to be exchanged for tokens.

Source: Stitch Connect API, "Accounts" and "OAuth".
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator.account import Account

#: A code works once, and for so long.
CODE_LASTS = timedelta(minutes=5)


class _Code(NamedTuple):
    account: Account
    expires: datetime


class Partner:
    """The one partner of an emulator."""

    def __init__(self, partner_id: str | None = None, partner_secret: str | None = None) -> None:
        self.id = partner_id or "oc_" + secrets.token_hex(16)
        self.secret = partner_secret or "oc_" + secrets.token_hex(24)
        self._codes: dict[str, _Code] = {}

    def is_id(self, given: object) -> bool:
        """Whether this is the partner's id."""
        return _same(given, self.id)

    def is_secret(self, given: object) -> bool:
        """Whether this is the partner's secret."""
        return _same(given, self.secret)

    def add_code(self, account: Account, now: datetime) -> str:
        """A user lets the partner into an account: what Stitch sends to the partner's ``redirect_uri``."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Code(account, now + CODE_LASTS)
        return code

    def exchange(self, code: str, now: datetime) -> Account | None:
        """The account of a code, which is used up by this; None if there is no such code, or no more."""
        found = self._codes.pop(code, None)
        return found.account if found is not None and now < found.expires else None


def _same(given: object, known: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), known.encode())
