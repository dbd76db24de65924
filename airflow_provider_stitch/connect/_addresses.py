"""Where the token may go: checks of the base URL, the token itself, and the paths of requests."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_stitch.connect.errors import InvalidArgument, StitchConfigurationError

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)+")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def checked_base_url(base_url: str) -> str:
    """Return the base URL in its one normal form, without a trailing slash; HTTPS if it names no scheme.

    Spellings that lead to the same server become equal (case, default port, trailing dot), because an account
    and its request budget are found by the base URL.

    :raises StitchConfigurationError: the token must not be sent there, or it is no URL.
    """
    # What does not fit is never repeated in the message: a mistyped field may hold a secret.
    given = base_url.strip()
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        port = parts.port
    except ValueError:
        raise _bad_base_url("it cannot be read") from None
    host = (parts.hostname or "").removesuffix(".")
    if re.search(r"[\s\\\x00-\x1f\x7f]", given):
        raise _bad_base_url("it holds white space, a backslash or a control character")
    if "@" in parts.netloc:
        raise _bad_base_url("it holds a user name or password; the token belongs into the password field")
    if parts.query or parts.fragment or "?" in given or "#" in given:
        raise _bad_base_url("it holds a query or a fragment")
    path = parts.path.rstrip("/")
    if not _BASE_PATH.fullmatch(path) or _climbs(path):
        raise _bad_base_url("its path is not a plain one")
    if not _HOST.fullmatch(host):
        raise _bad_base_url("it names no host")
    if parts.scheme not in _DEFAULT_PORTS or (parts.scheme == "http" and not is_loopback(host)):
        raise _bad_base_url("it is not HTTPS, so the token would be readable on its way")
    shown_port = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{_normal_host(host)}{shown_port}{path}"


def _normal_host(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return f"[{address.compressed}]" if address.version == 6 else str(address)


def checked_token(access_token: str) -> str:
    """Return the token. No prefix is insisted upon: Stitch's own samples differ in it.

    :raises StitchConfigurationError: it is empty, not a token at all, or a partner credential.
    """
    if not access_token:
        raise StitchConfigurationError(
            "There is no Stitch access token. Set an API access token (Stitch: Account Settings, API Access "
            "Keys) as the password of the connection."
        )
    if access_token.startswith("oc_"):
        raise StitchConfigurationError(
            "The Stitch access token begins with oc_, so it is a partner credential, which only account "
            "creation takes. Use an API access token (Stitch: Account Settings, API Access Keys) instead."
        )
    if not _TOKEN.fullmatch(access_token):
        raise StitchConfigurationError(
            "The Stitch access token holds white space, control or non-ASCII characters, so it cannot be "
            "sent. Copy it again, without anything around it (no 'Bearer', no line end)."
        )
    return access_token


def checked_partner_credential(name: str, value: str) -> str:
    """Return a partner ID or secret.

    :raises StitchConfigurationError: it is empty, or no credential at all.
    """
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value
    raise StitchConfigurationError(
        f"{name} is empty, or holds white space, control or non-ASCII characters. Set both partner_id and "
        "partner_secret as Stitch gave them to you as a partner."
    )


def checked_path(path: str) -> str:
    """Return the path of a request if it can lead nowhere but to itself.

    :raises InvalidArgument: it could lead elsewhere than it says (`..`, `//`, a query).
    """
    if not _PATH.fullmatch(path) or _climbs(path):
        raise InvalidArgument(f"{path[:200]!r} cannot be part of a request to Stitch.")
    return path


def segment(value: int | str) -> str:
    """Return an id or a name as one segment of a path."""
    return quote(str(value), safe="", errors="replace")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine, by its name alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL, in a form that can be compared."""
    parts = urlsplit(url)
    return parts.scheme.lower(), (parts.hostname or "").lower(), _port(parts)


def host_of(location: str | None) -> str:
    """Return what messages call the host that a `Location` header leads to."""
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        host = None
    return repr(host) if host else "the same host" if location else "nowhere"


def _port(parts: SplitResult) -> int | None:
    return parts.port or _DEFAULT_PORTS.get(parts.scheme.lower())


def _climbs(path: str) -> bool:
    # HTTP libraries decode %2e before they resolve dots, so the decoded form is looked at.
    return any(unquote(part) in (".", "..") for part in path.split("/"))


def _bad_base_url(why: str) -> StitchConfigurationError:
    return StitchConfigurationError(
        f"The base URL of Stitch (the connection's host) cannot be used: {why}. Leave it empty for "
        "https://api.stitchdata.com, or give an https:// URL; plain http:// is only for this machine's "
        "loopback."
    )
