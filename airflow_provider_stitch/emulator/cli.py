"""``stitch-emulator``: a local Stitch on the command line, with a few sample sources."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.plans import EmulatedStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.emulator.emulator import StitchEmulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until SIGINT or SIGTERM. Print one JSON line once it listens."""
    options = _parser().parse_args(arguments)
    try:
        from airflow_provider_stitch.emulator import StitchEmulator  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        sys.exit(str(error))
    # Installed before the emulator listens, so that an early signal stops it cleanly, too.
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: signals.append(received))
    stitch = StitchEmulator(
        options.speed,
        access_token=options.access_token,
        client_id=options.client_id,
        host=options.host,
        port=options.port,
    )
    sources = _add_sources(stitch)
    try:
        stitch.start()
    except OSError as error:
        sys.exit(f"The Stitch emulator cannot listen on {options.host}:{options.port}: {error}")
    try:
        line = {
            "url": stitch.url,
            "access_token": stitch.access_token,
            "client_id": stitch.client_id,
            "partner_id": stitch.partner_id,
            "partner_secret": stitch.partner_secret,
            "connection": stitch.connection_json(),
            "sources": sources,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        while not signals:
            time.sleep(0.1)
    finally:
        stitch.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stitch-emulator", description="A local Stitch, for tests and demos."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=_port, default=0, help="port of the API (default: a free one)")
    parser.add_argument(
        "--speed", type=_speed, default=60.0, help="virtual seconds per real second (default: 60)"
    )
    parser.add_argument("--access-token", help="access token of the account (default: a random one)")
    parser.add_argument("--client-id", type=int, help="client ID of the account (default: 104857)")
    return parser


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return speed


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 65535")
    return int(text)


def _add_sources(stitch: StitchEmulator) -> list[dict[str, Any]]:
    """Add two SaaS sources, a database and an Import API source, and return their ids and names."""
    added: list[dict[str, Any]] = []
    for name, display_name, source_type, streams in _SOURCES:
        source_id = stitch.add_source(name, display_name=display_name, type=source_type, streams=streams)
        names = [key if isinstance(rows, int) else rows.stream_name or key for key, rows in streams.items()]
        added.append({"id": source_id, "name": name, "streams": names})
        if source_type == "import_api":
            # Users push rows to an Import API source, so it has loads but no extractions.
            stitch.record_load(source_id, "events", seconds_ago=1800)
    return added


def _table(schema: str, name: str, rows: int, *, selected: bool | None = True) -> EmulatedStream:
    return EmulatedStream(
        rows, stream_name=name, schema_name=schema, database_name="shopdb", selected=selected
    )


_Streams = dict[str, "int | EmulatedStream"]
_SOURCES: tuple[tuple[str, str, str, _Streams], ...] = (
    ("github", "GitHub", "platform.github", {"commits": 412, "issues": 100, "pull_requests": 37, "teams": 0}),
    (
        "salesforce_prod",
        "Salesforce (production)",
        "platform.salesforce",
        {"Account": 1250, "Contact": 3310, "Lead": EmulatedStream(80, flushes=2), "Task": 0},
    ),
    (
        "shop_pg",
        "Shop database",
        "platform.hp-postgres",
        {
            "shopdb-public-orders": _table("public", "orders", 447),
            "shopdb-public-customers": _table("public", "customers", 58),
            "shopdb-archive-orders": _table("archive", "orders", 0),
            "shopdb-public-order_view": _table("public", "order_view", 0, selected=None),
        },
    ),
    ("import_api", "Import API", "import_api", {"events": 0}),
)


if __name__ == "__main__":
    sys.exit(main())
