"""Which URLs a hook can have, and which of them lead to this machine.

An emulator must be no way to make requests to others, so a hook is called only if its URL names a loopback
address. Names other than ``localhost`` are never looked up.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit


class Address(NamedTuple):
    """Where a receiver on this machine listens."""

    host: str
    other_host: str | None  #: to be tried if nobody listens at the first
    port: int
    tls: bool
    name: str  #: for the certificate
    authority: str  #: for the ``Host`` header
    target: str


def hook_address(url: str) -> Address | None:
    """The receiver that a URL names if it is on this machine; None if it is on another.

    :raises ValueError: it is no URL that a hook can have: HTTPS, or HTTP on this machine.
    """
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("A URL is printable ASCII.")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("Neither http: nor https:, or no host.")
    hosts = _loopback(parts.hostname)
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    if hosts is None:
        if not tls:
            raise ValueError("Stitch posts to https: only.")
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host, other_host = hosts
    return Address(host, other_host, port, tls, parts.hostname, parts.netloc.rpartition("@")[2], target)


def _loopback(host: str) -> tuple[str, str | None] | None:
    if host == "localhost":
        return ("127.0.0.1", "::1")
    try:
        return (host, None) if ipaddress.ip_address(host).is_loopback else None
    except ValueError:
        return None
