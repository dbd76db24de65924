"""Functions that validate the URLs of hooks and detect URLs that point to this machine.

The emulator must not send requests to other machines, so it calls a hook only if the host of its URL is
``localhost`` or a loopback address. The emulator does not resolve any other host names.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit


class ReceiverAddress(NamedTuple):
    """The address of a webhook receiver on this machine."""

    host: str
    other_host: str | None  #: alternative address to try if ``host`` refuses the connection
    port: int
    tls: bool
    name: str  #: the host name that the certificate must contain
    authority: str  #: the value of the ``Host`` header
    target: str


def loopback_address(url: str) -> ReceiverAddress | None:
    """Return the address of a receiver on this machine, or None if the URL points to another machine.

    :raises ValueError: if Stitch rejects the URL. A URL must use HTTPS unless it points to this machine.
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
            raise ValueError("Stitch sends webhooks only to https: URLs.")
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
