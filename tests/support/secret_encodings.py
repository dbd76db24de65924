"""List the secrets of an emulator, and search for a secret in many encodings."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

#: A token that looks different in each encoding.
ENCODING_SENSITIVE_TOKEN = "ac_4b/e1+d5%f0\"q\\b&<x>'s0123456789"


def emulator_secrets(stitch: StitchEmulator) -> list[str]:
    """Return the access token and the keys in pre-signed log URLs."""
    return [stitch.access_token, *stitch._state._log_keys]


def encodings_of(secret: str) -> dict[str, bytes]:
    """Return a secret in many encodings, by the name of the encoding.

    Each result contains only characters that do not depend on the text around the secret. For example, the
    base64 results also appear in the base64 encoding of `Bearer <secret>`, `user:<secret>` and `<secret>:`.
    """
    encodings = {
        "plain": secret,
        "repr": repr(secret)[1:-1],
        "JSON": json.dumps(secret)[1:-1],
        "JSON in JSON": json.dumps(json.dumps(secret)[1:-1])[1:-1],
        "URL component": quote(secret, safe=""),
        "URL path": quote(secret),
        "form": quote_plus(secret),
        "URL component, twice": quote(quote(secret, safe=""), safe=""),
        "HTML": html.escape(secret),
        "hexadecimal": secret.encode().hex(),
    }
    encoded = {name: text.encode() for name, text in encodings.items()}
    encoded["UTF-16"] = secret.encode("utf-16-le")
    for offset in range(3):
        in_base64 = _base64_at(secret, offset)
        encoded[f"base64 at offset {offset}"] = in_base64
        encoded[f"URL-safe base64 at offset {offset}"] = in_base64.translate(bytes.maketrans(b"+/", b"-_"))
    return encoded


def find_encodings(secret: str, content: bytes) -> list[str]:
    """Return the names of all encodings in which a secret appears in the content."""
    return [name for name, encoded in encodings_of(secret).items() if encoded in content]


def _base64_at(secret: str, offset: int) -> bytes:
    """Return those characters of a base64 encoding that depend only on the secret.

    :param offset: number of bytes that precede the secret, modulo 3.
    """
    content = secret.encode()
    encoded = base64.b64encode(b"\0" * offset + content)
    return encoded[-(-offset * 8 // 6) : (offset + len(content)) * 8 // 6]
