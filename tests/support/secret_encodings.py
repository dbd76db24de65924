"""The secrets of a local Stitch, and the forms in which a secret can lie about."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

#: A token that looks different in each form in which it may be written.
TELLING_TOKEN = "ac_4b/e1+d5%f0\"q\\b&<x>'s0123456789"


def secrets_of(stitch: StitchEmulator) -> list[str]:
    """The token, and what opens logs on the other host."""
    return [stitch.access_token, *stitch._world._log_keys]


def forms_of(secret: str) -> dict[str, bytes]:
    """Return what would have to be found if a secret was written in one of these forms.

    What was written with it, before or after, does not matter; so base64 covers `Bearer <secret>`,
    `user:<secret>`, `<secret>:` and whatever else it was joined to.
    """
    forms = {
        "as it is": secret,
        "repr": repr(secret)[1:-1],
        "JSON": json.dumps(secret)[1:-1],
        "JSON in JSON": json.dumps(json.dumps(secret)[1:-1])[1:-1],
        "in a URL": quote(secret, safe=""),
        "in the path of a URL": quote(secret),
        "in a form": quote_plus(secret),
        "twice in a URL": quote(quote(secret, safe=""), safe=""),
        "HTML": html.escape(secret),
        "hexadecimal": secret.encode().hex(),
    }
    found = {name: form.encode() for name, form in forms.items()}
    found["UTF-16"] = secret.encode("utf-16-le")
    for before in range(3):
        found[f"base64, {before} bytes in"] = _of_base64(secret, before)
        found[f"base64 for URLs, {before} bytes in"] = _of_base64(secret, before).translate(
            bytes.maketrans(b"+/", b"-_")
        )
    return found


def forms_in(secret: str, content: bytes) -> list[str]:
    """Return the names of the forms in which a secret is in some content."""
    return [name for name, form in forms_of(secret).items() if form in content]


def _of_base64(secret: str, before: int) -> bytes:
    """Return the characters of base64 that tell of nothing but the secret, whatever stands around it."""
    content = secret.encode()
    encoded = base64.b64encode(b"\0" * before + content)
    return encoded[-(-before * 8 // 6) : (before + len(content)) * 8 // 6]
