"""Run a command with temporary PostgreSQL and Redis servers.

Usage: `python -m tests.system.servers COMMAND`

The command can read two environment variables:

- `STITCH_TEST_POSTGRES`: the URL of an empty database.
- `STITCH_TEST_CELERY`: the URL of a broker for Celery, unless the option `--postgres-only` is set.

Both servers listen on 127.0.0.1 and store their data in a temporary folder. The servers stop when the command
ends. The Debian packages that contain the servers are `postgresql` and `redis-server`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy

from local_airflow.processes import free_port
from local_airflow.waiting import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: User that runs PostgreSQL, which refuses to run as root.
USER = "postgres" if os.geteuid() == 0 else None

STARTUP_TIMEOUT = 60.0  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command with the servers, and return its exit status."""
    options = _parser().parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stitch-")))
        settings = {"STITCH_TEST_POSTGRES": stack.enter_context(postgres(folder))}
        if not options.postgres_only:
            settings["STITCH_TEST_CELERY"] = stack.enter_context(redis(folder))
        command = subprocess.Popen(options.command, env={**os.environ, **settings})
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command also receives this signal and handles it
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        return command.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.system.servers")
    parser.add_argument("--postgres-only", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server until the context ends.

    Yield the URL of an empty database.
    """
    if USER is not None:
        shutil.chown(folder, USER)
    data, port = folder / "postgres", free_port()
    programs = _postgres_folder()
    initialize = [
        str(programs / "initdb"),
        "--auth=trust",
        "--encoding=UTF8",
        "--username=postgres",
        str(data),
    ]
    subprocess.run(initialize, check=True, user=USER, cwd=folder, stdout=subprocess.DEVNULL)
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 300,
        "fsync": "off",
        # The workers of a LocalExecutor inherit the scheduler's database connections. If only the scheduler
        # is killed, the workers keep its transaction open. The locks of this transaction would prevent later
        # schedulers from starting tasks.
        "idle_in_transaction_session_timeout": "10s",
    }
    serve = [str(programs / "postgres"), "-D", str(data)]
    serve += [f"--{name}={value}" for name, value in settings.items()]
    url = f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
    with _running(serve, signal.SIGINT, folder / "postgres.log", user=USER):
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        Deadline(STARTUP_TIMEOUT).wait_until(lambda: _responds(engine), "PostgreSQL")
        yield url


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis server without persistence until the context ends.

    Yield the server's URL.
    """
    if shutil.which("redis-server") is None:
        raise SystemExit("Redis is not installed. Install it (Debian package: `redis-server`).")
    port = free_port()
    serve = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with _running(serve, signal.SIGTERM, folder / "redis.log"):
        Deadline(STARTUP_TIMEOUT).wait_until(lambda: _is_open(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"


def _postgres_folder() -> Path:
    """Return the folder with PostgreSQL's programs, which Debian does not add to PATH."""
    found = shutil.which("initdb") or max(
        map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None
    )
    if found is None:
        raise SystemExit("PostgreSQL is not installed. Install it (Debian package: `postgresql`).")
    return Path(found).parent


@contextmanager
def _running(
    command: Sequence[str], stop_signal: signal.Signals, log: Path, user: str | None = None
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            user=user,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # ensures that Ctrl-C does not interrupt the server
        )
    try:
        yield
    finally:
        process.send_signal(stop_signal)
        process.wait()


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def _responds(engine: sqlalchemy.Engine) -> bool:
    try:
        engine.connect().close()
    except sqlalchemy.exc.OperationalError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
