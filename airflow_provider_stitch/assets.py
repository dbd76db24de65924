"""Airflow assets for the sources and streams of Stitch. Airflow 2 calls assets datasets.

A task with `emit_assets` updates these assets after a job is loaded, and a DAG can be scheduled by them:
`schedule=stitch_stream("github", "commits")`. An asset is identified by its URI,
`stitch://<connection id>/<source>/<stream>`, whose parts are percent-encoded, so that every name is valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from airflow.providers.common.compat.sdk import Asset

if TYPE_CHECKING:
    from urllib.parse import SplitResult

SCHEME = "stitch"


def stitch_source(source: str, *, stitch_conn_id: str = "stitch_default") -> Asset:
    """Return the asset of a source. It is updated when a job of the source is loaded, also without new rows.

    :param source: the source's `name`, as XComs and the destination's schemas contain it. A display name or
        an id identifies another asset, which no task updates.
    :param stitch_conn_id: id of the Airflow connection that the updating task uses.
    :raises ValueError: if a name is empty or not a string.
    """
    return Asset(uri=source_uri(stitch_conn_id, source))


def stitch_stream(source: str, stream: str, *, stitch_conn_id: str = "stitch_default") -> Asset:
    """Return the asset of a stream. It is updated when a job has loaded new rows of the stream.

    :param source: the source's `name`, as XComs and the destination's schemas contain it. A display name or
        an id identifies another asset, which no task updates.
    :param stream: the `stream_name`, as in the XCom of StitchRunReplicationJobOperator.
    :param stitch_conn_id: id of the Airflow connection that the updating task uses.
    :raises ValueError: if a name is empty or not a string.
    """
    return Asset(uri=stream_uri(stitch_conn_id, source, stream))


def source_uri(stitch_conn_id: str, source: str) -> str:
    """Return the URI of a source's asset. The errors are those of `stitch_source`."""
    return f"{SCHEME}://{_encode(stitch_conn_id, 'stitch_conn_id')}/{_encode(source, 'source')}"


def stream_uri(stitch_conn_id: str, source: str, stream: str) -> str:
    """Return the URI of a stream's asset. The errors are those of `stitch_stream`."""
    return f"{source_uri(stitch_conn_id, source)}/{_encode(stream, 'stream')}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the normal form of an asset's URI. Airflow calls this for each URI with the scheme `stitch`.

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
        raise ValueError(f"{argument} must be a name, as a string that is not empty; it was {name!r}.")
    return _quote(name)


def _quote(name: str) -> str:
    # Airflow splits URIs at these characters, and Airflow 2 and MySQL accept only ASCII. A lone surrogate is
    # no valid Unicode, but JSON can contain it.
    return quote(name, safe="", errors="surrogatepass")
