"""The ``stitch-emulator`` command, which runs a local Stitch with sample sources or with a scenario file."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_provider_stitch.emulator.model.plans import EmulatedStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_stitch.emulator.emulator import StitchEmulator


DEFAULT_SPEED = 60.0  #: default number of virtual seconds per real second


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until SIGINT or SIGTERM. After the start, print a JSON line with its settings."""
    options = _parser().parse_args(arguments)
    try:
        if options.scenario_schema:
            _print_scenario_schema()
            return 0
        stitch = _emulator(options)
    except (ModuleNotFoundError, ValueError) as error:
        sys.exit(str(error))
    if options.scenario is None:
        add_sample_sources(stitch)
    # The signal handlers are installed before the emulator starts, so that an early signal stops the emulator
    # cleanly.
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: signals.append(received))
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
            "sources": [asdict(source) for source in stitch.sources],
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        while not signals:
            time.sleep(0.1)
    finally:
        stitch.stop()
    return 0


def _emulator(options: argparse.Namespace) -> StitchEmulator:
    """Create an emulator without starting it.

    The command-line options take precedence over the scenario file.

    :raises ValueError: if the scenario is invalid.
    """
    # The following modules require the ``emulator`` extra, so they are not imported at the top of this
    # module.
    from airflow_provider_stitch.emulator import StitchEmulator, load_scenario  # noqa: PLC0415

    given = {"access_token": options.access_token, "client_id": options.client_id, "speed": options.speed}
    given = {name: value for name, value in given.items() if value is not None}
    address = {"host": options.host, "port": options.port}
    if options.scenario is None:
        return StitchEmulator(**{"speed": DEFAULT_SPEED, **given, **address})
    return load_scenario(options.scenario, default_speed=DEFAULT_SPEED, **given, **address)


def _print_scenario_schema() -> None:
    # The following modules require the ``emulator`` extra, so they are not imported at the top of this
    # module.
    from airflow_provider_stitch.emulator import Scenario  # noqa: PLC0415
    from airflow_provider_stitch.emulator.scenario_schema import scenario_schema  # noqa: PLC0415

    sys.stdout.write(json.dumps(scenario_schema(Scenario), indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stitch-emulator", description="A local Stitch, for tests and demos."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=_port, default=0, help="port of the API (default: a free port)")
    parser.add_argument(
        "--speed", type=_speed, help=f"virtual seconds per real second (default: {DEFAULT_SPEED:g})"
    )
    parser.add_argument("--access-token", help="access token of the account (default: a random token)")
    parser.add_argument("--client-id", type=int, help="client ID of the account (default: 104857)")
    parser.add_argument(
        "--scenario",
        metavar="FILE",
        help="a YAML or TOML file that describes the account (default: four sample sources)",
    )
    parser.add_argument(
        "--scenario-schema", action="store_true", help="print the JSON Schema of scenario files, and exit"
    )
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


def add_sample_sources(stitch: StitchEmulator) -> None:
    """Add two SaaS sources, a database and an Import API source."""
    for name, display_name, source_type, streams in _SOURCES:
        source_id = stitch.add_source(name, display_name=display_name, type=source_type, streams=streams)
        if source_type == "import_api":
            # Users push rows to an Import API source, so this type of source has loads but no extractions.
            stitch.record_load(source_id, "events", seconds_ago=1800)


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
