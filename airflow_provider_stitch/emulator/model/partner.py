"""The partner that manages accounts, with its credentials and OAuth codes.

See "Accounts" and "OAuth" in the Stitch Connect API.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

CODE_LIFETIME = timedelta(minutes=5)


class _Code(NamedTuple):
    client_id: int
    expires_at: datetime


class Partner:
    """The partner that can create accounts in an emulator."""

    def __init__(self, partner_id: str | None = None, partner_secret: str | None = None) -> None:
        self.id = partner_id or "oc_" + secrets.token_hex(16)
        self.secret = partner_secret or "oc_" + secrets.token_hex(24)
        self._codes: dict[str, _Code] = {}

    def matches_id(self, value: object) -> bool:
        """Return whether a value is the partner's id."""
        return _is_equal(value, self.id)

    def matches_secret(self, value: object) -> bool:
        """Return whether a value is the partner's secret."""
        return _is_equal(value, self.secret)

    def add_code(self, client_id: int, now: datetime) -> str:
        """Return a new OAuth code for an account. Stitch sends the code to the ``redirect_uri``."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Code(client_id, now + CODE_LIFETIME)
        return code

    def redeem_code(self, code: str, now: datetime) -> int | None:
        """Invalidate an OAuth code and return the client id of its account.

        :return: the client id, or None if the code is unknown, used or expired.
        """
        found = self._codes.pop(code, None)
        return found.client_id if found is not None and now < found.expires_at else None


def _is_equal(value: object, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())
