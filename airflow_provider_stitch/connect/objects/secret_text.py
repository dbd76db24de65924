"""A string type for secrets, which never displays its value."""

from __future__ import annotations

import hmac
from typing import NoReturn


class SecretText:
    """A token from Stitch, whose value can be read only with `reveal()`.

    This class is not a subclass of `str`, and its instances cannot be pickled. The restrictions on SecretText
    prevent a token from being written to a log, XCom or cache by accident.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret as a string."""
        return self._text

    def __repr__(self) -> str:
        return "SecretText(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretText):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((SecretText, self._text))

    def __copy__(self) -> SecretText:
        return self

    def __deepcopy__(self, memo: object) -> SecretText:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A SecretText cannot be pickled. Call reveal() where the secret is needed.")
