"""The URIs of Stitch's assets: `stitch://<connection id>/<source>/<stream>`. Each part is percent-encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from urllib.parse import SplitResult

SCHEME = "stitch"


def source_uri(stitch_conn_id: str, source: str) -> str:
    """Return the URI of a source's asset. Raise the same errors as `stitch_source`."""
    return f"{SCHEME}://{_encode(stitch_conn_id, 'stitch_conn_id')}/{_encode(source, 'source')}"


def stream_uri(stitch_conn_id: str, source: str, stream: str) -> str:
    """Return the URI of a stream's asset. Raise the same errors as `stitch_stream`."""
    return f"{source_uri(stitch_conn_id, source)}/{_encode(stream, 'stream')}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the normal form of a URI. Airflow calls this function for each URI with the scheme `stitch`.

    :raises ValueError: if the URI does not consist of a connection id, a source and optionally a stream.
    """
    parts = [uri.netloc, *uri.path.removeprefix("/").split("/")]
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(
            f"The URI of a Stitch asset must be {SCHEME}://<connection id>/<source> or "
            f"{SCHEME}://<connection id>/<source>/<stream>, but it is {uri.geturl()!r}. Create the asset "
            "with stitch_source() or stitch_stream() of airflow_provider_stitch.assets."
        )
    netloc, *path = (_quote(unquote(part, errors="surrogatepass")) for part in parts)
    return uri._replace(netloc=netloc, path="/" + "/".join(path), query="", fragment="")


def _encode(name: str, argument: str) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"{argument} must be a non-empty string; it was {name!r}.")
    return _quote(name)


def _quote(name: str) -> str:
    # Airflow splits URIs at reserved characters, and Airflow 2 and MySQL accept only ASCII. JSON can contain
    # a lone surrogate, although it is invalid Unicode.
    return quote(name, safe="", errors="surrogatepass")
