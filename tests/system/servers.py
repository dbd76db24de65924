"""`python -m tests.system.servers COMMAND` runs a command with a PostgreSQL and a Redis of its own.

It is told of them by its environment: `STITCH_TEST_POSTGRES` is the URL of an empty database, and
`STITCH_TEST_CELERY`, unless `--postgres-only` is given, that of a broker for Celery. Both servers listen on
127.0.0.1 only, keep what they hold in a temporary folder, and end with the command. Debian's packages are
`postgresql` and `redis-server`.
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

#: PostgreSQL refuses to run as root.
USER = "postgres" if os.geteuid() == 0 else None

PATIENCE = 60.0  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status."""
    options = _parser().parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stitch-")))
        settings = {"STITCH_TEST_POSTGRES": stack.enter_context(postgres(folder))}
        if not options.postgres_only:
            settings["STITCH_TEST_CELERY"] = stack.enter_context(redis(folder))
        command = subprocess.Popen(options.command, env={**os.environ, **settings})
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the command, too
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        return command.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.system.servers")
    parser.add_argument("--postgres-only", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL; yield the URL of a database in it."""
    if USER is not None:
        shutil.chown(folder, USER)
    data, port = folder / "postgres", free_port()
    programs = _folder_of_postgres()
    make = [str(programs / "initdb"), "--auth=trust", "--encoding=UTF8", "--username=postgres", str(data)]
    subprocess.run(make, check=True, user=USER, cwd=folder, stdout=subprocess.DEVNULL)
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 300,
        "fsync": "off",
        # The workers of a LocalExecutor inherit its scheduler's connections. If that is killed alone, they
        # keep its transaction open, whose locks keep every later scheduler from starting a task.
        "idle_in_transaction_session_timeout": "10s",
    }
    serve = [str(programs / "postgres"), "-D", str(data)]
    serve += [f"--{name}={value}" for name, value in settings.items()]
    url = f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
    with _running(serve, signal.SIGINT, folder / "postgres.log", user=USER):
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        Deadline(PATIENCE).wait_until(lambda: _answers(engine), "PostgreSQL")
        yield url


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis that keeps nothing on disk; yield its URL."""
    if shutil.which("redis-server") is None:
        raise SystemExit("There is no Redis: install it (Debian's package is `redis-server`).")
    port = free_port()
    serve = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with _running(serve, signal.SIGTERM, folder / "redis.log"):
        Deadline(PATIENCE).wait_until(lambda: _is_open(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"


def _folder_of_postgres() -> Path:
    """Return where its programs are. Debian keeps them out of the path."""
    found = shutil.which("initdb") or max(
        map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None
    )
    if found is None:
        raise SystemExit("There is no PostgreSQL: install it (Debian's package is `postgresql`).")
    return Path(found).parent


@contextmanager
def _running(
    command: Sequence[str], end: signal.Signals, log: Path, user: str | None = None
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            user=user,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is not for it
        )
    try:
        yield
    finally:
        process.send_signal(end)
        process.wait()


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def _answers(engine: sqlalchemy.Engine) -> bool:
    try:
        engine.connect().close()
    except sqlalchemy.exc.OperationalError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
