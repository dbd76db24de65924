"""Which URLs a hook can have, and which of them are on this machine.

The emulator must not send requests to other machines, so it calls a hook only if its URL has a loopback
address. It resolves no host name except ``localhost``.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit


class ReceiverAddress(NamedTuple):
    """The address of a webhook receiver on this machine."""

    host: str
    other_host: str | None  #: tried if the connection to the first host is refused
    port: int
    tls: bool
    name: str  #: the host name that the certificate must contain
    authority: str  #: the value of the ``Host`` header
    target: str


def loopback_address(url: str) -> ReceiverAddress | None:
    """Return the receiver's address if the URL points to this machine, or None.

    :raises ValueError: if Stitch rejects the URL. It must be HTTPS, or HTTP on this machine.
    """
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("The URL must consist of printable ASCII characters.")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("The URL must begin with http: or https: and have a host.")
    hosts = _loopback_hosts(parts.hostname)
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    if hosts is None:
        if not tls:
            raise ValueError("Stitch posts to https: URLs only.")
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host, other_host = hosts
    authority = parts.netloc.rpartition("@")[2]
    return ReceiverAddress(host, other_host, port, tls, parts.hostname, authority, target)


def _loopback_hosts(host: str) -> tuple[str, str | None] | None:
    if host == "localhost":
        return ("127.0.0.1", "::1")
    try:
        return (host, None) if ipaddress.ip_address(host).is_loopback else None
    except ValueError:
        return None
