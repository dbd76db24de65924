"""Validate the base URL, the token and the path of requests.

The checks prevent the token from being sent to the wrong server or resource.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_stitch.connect.errors import InvalidArgument, StitchConfigurationError

DEFAULT_BASE_URL = "https://api.stitchdata.com"

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)+")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def normalize_base_url(base_url: str) -> str:
    """Return the base URL with a scheme (by default HTTPS) and without a trailing slash.

    URLs that differ only in case, default port or a trailing dot are normalized to the same string, because
    the base URL is part of the key that identifies an account and its request budget.

    :raises StitchConfigurationError: if the base URL is not a URL, or if the token must not be sent to this
        URL.
    """
    # Messages never contain the invalid value, because a secret may have been entered in the wrong field.
    url = base_url.strip()
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port
    except ValueError:
        raise _bad_base_url("it cannot be read") from None
    host = (parts.hostname or "").removesuffix(".")
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise _bad_base_url("it contains white space, a backslash or a control character")
    if "@" in parts.netloc:
        raise _bad_base_url("it contains a user name or password; the token belongs in the password field")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise _bad_base_url("it contains a query or a fragment")
    path = parts.path.rstrip("/")
    if not _BASE_PATH.fullmatch(path) or _has_dot_segment(path):
        raise _bad_base_url("its path contains .. or special characters")
    if not _HOST.fullmatch(host):
        raise _bad_base_url("it has no valid host")
    if parts.scheme not in _DEFAULT_PORTS or (parts.scheme == "http" and not is_loopback(host)):
        raise _bad_base_url("it is not HTTPS, so the token would be sent unencrypted")
    port_suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{_normal_host(host)}{port_suffix}{path}"


def _normal_host(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return f"[{address.compressed}]" if address.version == 6 else str(address)


def validate_token(access_token: str) -> str:
    """Return the token if it is valid.

    Any prefix except `oc_` is accepted, because the samples in Stitch's documentation have different
    prefixes.

    :raises StitchConfigurationError: if the token is empty, malformed, or a partner credential.
    """
    if not access_token:
        raise StitchConfigurationError(
            "The Stitch access token is missing. Set an API access token (Stitch: Account Settings, API "
            "Access Keys) as the password of the connection."
        )
    if access_token.startswith("oc_"):
        raise StitchConfigurationError(
            "The Stitch access token begins with oc_, so it is a partner credential, which is valid only for "
            "creating accounts. Use an API access token (Stitch: Account Settings, API Access Keys) instead."
        )
    if not _TOKEN.fullmatch(access_token):
        raise StitchConfigurationError(
            "The Stitch access token contains white space, control or non-ASCII characters, so it cannot be "
            "sent. Copy the token again, without anything around it (no 'Bearer', no line break)."
        )
    return access_token


def validate_partner_credential(name: str, value: str) -> str:
    """Return a partner ID or partner secret if it is valid.

    :raises StitchConfigurationError: if the value is empty or malformed.
    """
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value
    raise StitchConfigurationError(
        f"{name} is empty, or contains white space, control or non-ASCII characters. Set both partner_id and "
        "partner_secret as you received them from Stitch."
    )


def validate_path(path: str) -> str:
    """Return the path if no client or server could resolve it to a different path.

    :raises InvalidArgument: if the path contains `..`, `//`, a query or other special characters.
    """
    if not _PATH.fullmatch(path) or _has_dot_segment(path):
        raise InvalidArgument(f"{path[:200]!r} cannot be part of a request to Stitch.")
    return path


def quote_segment(value: int | str) -> str:
    """Percent-encode an id or a name for use as one segment of a path."""
    return quote(str(value), safe="", errors="replace")


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address is a loopback address. No DNS lookup is made."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int | None]:
    """Return the scheme, host and port of a URL, normalized for comparison."""
    parts = urlsplit(url)
    return parts.scheme.lower(), (parts.hostname or "").lower(), _port(parts)


def redirect_host(location: str | None) -> str:
    """Return the host of a `Location` header, formatted for messages."""
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        host = None
    return repr(host) if host else "the same host" if location else "nowhere"


def _port(parts: SplitResult) -> int | None:
    return parts.port or _DEFAULT_PORTS.get(parts.scheme.lower())


def _has_dot_segment(path: str) -> bool:
    # HTTP libraries decode %2e before they resolve dot segments, so the decoded path is checked.
    return any(unquote(part) in (".", "..") for part in path.split("/"))


def _bad_base_url(reason: str) -> StitchConfigurationError:
    return StitchConfigurationError(
        f"The base URL of Stitch (the connection's host) cannot be used: {reason}. Leave it empty for "
        "https://api.stitchdata.com, or give an https:// URL; plain http:// is allowed only for this "
        "machine's loopback."
    )
