"""Count the requests of all processes on one host in the budget file.

SQLite provides the locking. Each transaction is atomic, and SQLite releases a lock if the process that holds
it is killed. Each call opens and closes its own database connection. Threads and forked processes therefore
never share a connection, and a deleted file is created again. A call takes 0.3 to 0.4 ms with 30 requests in
the file. A permanent connection would save half of this time, which is negligible because a request to Stitch
takes hundreds of milliseconds.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import sqlite3
import stat
import time
import uuid
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.replication.budget.host import HostState
from airflow_provider_stitch.replication.budget.window import (
    MAX_IN_FLIGHT_SECONDS,
    WINDOW,
    Window,
    available_in,
    fair_share,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

LOCK_TIMEOUT = 2.0
"""Seconds to wait while other processes lock the file."""

MAX_CLOCK_SKEW = 5.0
"""Seconds by which a time in the file may be in the future, for example after waiting for the lock.

A time that is further in the future was written by a different clock and is ignored.
"""

UNUSED_FILE_RETENTION = 86_400.0
"""Seconds until an unused file from an earlier boot or from another host is deleted."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS requests (
        account TEXT NOT NULL, process TEXT NOT NULL, sent_at REAL NOT NULL, responded_at REAL
    )""",
    """CREATE TABLE IF NOT EXISTS blocks (
        account TEXT PRIMARY KEY, blocked_at REAL NOT NULL, blocked_until REAL NOT NULL
    )""",
    # One row for each account that uses Redis. The columns after the account are the fields of HostState.
    """CREATE TABLE IF NOT EXISTS hosts (
        account TEXT PRIMARY KEY, id TEXT NOT NULL, hosts INTEGER NOT NULL, hosts_at REAL NOT NULL,
        joined_at REAL NOT NULL, reached_at REAL NOT NULL, away_since REAL, sent_alone INTEGER NOT NULL
    )""",
)

_log = logging.getLogger(__name__)


class BudgetStore:
    """The requests that the processes on this host have sent for one account.

    Each method runs in one transaction. A damaged file is replaced. If the file cannot be used, methods raise
    OSError or sqlite3.Error.

    :param account: base URL and client ID of the account. The file contains the URL and the ID, but no
        secret.
    """

    def __init__(
        self, folder: Path, account: tuple[str, int], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = folder / f"{_file_prefix()}{hashlib.sha256(_clock_id().encode()).hexdigest()[:12]}.sqlite"
        self._account = " ".join(map(str, account))
        self._monotonic = monotonic

    def window(self, limit: int, hosts: int = 1) -> Window:
        """Return the times at which this host may send requests, and this process's share of the requests.

        :param hosts: number of hosts by which the limit is divided; see `available_in`.
        """
        return self._run(lambda db: self._window(db, limit, hosts))

    def acquire(self, limit: int, hosts: int = 1) -> float:
        """Record one request and return 0.0, or return the number of seconds until a request is available."""

        def acquire(db: sqlite3.Connection) -> float:
            db.execute("BEGIN IMMEDIATE")
            # The clock is read while the file is locked, so that times and transactions have the same order.
            wait = self._window(db, limit, hosts).available_in[0]
            if not wait:
                self._insert(db)
                db.execute("COMMIT")
            return wait

        return self._run(acquire)

    def record(self) -> None:
        """Record one request that another store has already allowed."""
        self._run(self._insert)

    def release(self) -> None:
        """Record a response to this process's oldest request in flight.

        The count does not depend on which request is updated.
        """
        self._run(
            lambda db: db.execute(
                "UPDATE requests SET responded_at = :now WHERE rowid = (SELECT rowid FROM requests WHERE "
                "account = :account AND process = :process AND responded_at IS NULL "
                "ORDER BY sent_at LIMIT 1)",
                self._parameters(),
            )
        )

    def block(self, seconds: float) -> None:
        """For this number of seconds, allow no process on this host to send a request."""

        def block(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            self._delete_expired(db)
            db.execute(
                "INSERT INTO blocks VALUES (:account, :now, :now + :seconds) ON CONFLICT (account) DO UPDATE "
                "SET blocked_at = :now, blocked_until = MAX(blocked_until, excluded.blocked_until)",
                {**self._parameters(), "seconds": seconds},
            )
            db.execute("COMMIT")

        self._run(block)

    def host(self) -> HostState:
        """Return the `HostState` of this host."""
        return self._run(self._host)

    def change_host(self, change: Callable[[HostState], HostState]) -> HostState:
        """Apply a function to the `HostState` of this host, and return the new state."""

        def change_host(db: sqlite3.Connection) -> HostState:
            db.execute("BEGIN IMMEDIATE")
            state = change(self._host(db))
            values = (self._account, *astuple(state))
            db.execute("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            db.execute("COMMIT")
            return state

        return self._run(change_host)

    def _host(self, db: sqlite3.Connection) -> HostState:
        row = db.execute(
            "SELECT id, hosts, hosts_at, joined_at, reached_at, away_since, sent_alone FROM hosts "
            "WHERE account = ?",
            (self._account,),
        ).fetchone()
        if row is not None:
            return HostState(*row)
        # This host has not used Redis until now, so the count in Redis does not contain its earlier requests.
        (requests,) = db.execute(
            "SELECT COUNT(*) FROM requests WHERE account = ?", (self._account,)
        ).fetchone()
        new = HostState.new(self._monotonic(), sent_alone=bool(requests))
        values = (self._account, *astuple(new))
        db.execute("INSERT OR IGNORE INTO hosts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        return self._host(db)

    def _insert(self, db: sqlite3.Connection) -> None:
        self._delete_expired(db)
        db.execute("INSERT INTO requests VALUES (:account, :process, :now, NULL)", self._parameters())

    def _window(self, db: sqlite3.Connection, limit: int, hosts: int = 1) -> Window:
        parameters = self._parameters()
        requests = db.execute(
            "SELECT process, COALESCE(responded_at, MIN(:now, sent_at + :max_in_flight)) + :window "
            "FROM requests WHERE account = :account "
            "AND COALESCE(responded_at, sent_at + :max_in_flight) + :window > :now "
            "AND MAX(sent_at, COALESCE(responded_at, sent_at)) <= :now + :max_skew",
            parameters,
        ).fetchall()
        (blocked_until,) = db.execute(
            "SELECT COALESCE(MAX(blocked_until), :now) + 0.0 FROM blocks "
            "WHERE account = :account AND blocked_at <= :now + :max_skew",
            parameters,
        ).fetchone()
        counted_until = [until for _, until in requests]
        others = [process for process, _ in requests if process != parameters["process"]]
        return Window(
            available_in(
                limit, counted_until, now=parameters["now"], blocked_until=blocked_until, hosts=hosts
            ),
            fair_share(max(1, limit // hosts), others),
        )

    def _delete_expired(self, db: sqlite3.Connection) -> None:
        """For all accounts, delete rows that no longer count or whose times are from a different clock."""
        parameters = self._parameters()
        db.execute(
            "DELETE FROM requests WHERE COALESCE(responded_at, sent_at + :max_in_flight) + :window <= :now "
            "OR MAX(sent_at, COALESCE(responded_at, sent_at)) > :now + :max_skew",
            parameters,
        )
        db.execute(
            "DELETE FROM blocks WHERE blocked_until <= :now OR blocked_at > :now + :max_skew", parameters
        )

    def _parameters(self) -> dict[str, Any]:
        return {
            "account": self._account,
            "process": process_id(os.getpid()),
            "now": self._monotonic(),
            "window": WINDOW,
            "max_in_flight": MAX_IN_FLIGHT_SECONDS,
            "max_skew": MAX_CLOCK_SKEW,
        }

    def _run(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        """Run a transaction and return its result. If the file is damaged, replace it and try once more."""
        version = self._file_version()
        if version is None:
            self._delete_unused()
        try:
            with self._connection() as db:
                return transaction(db)
        except sqlite3.DatabaseError as error:
            # SQLite raises DatabaseError itself if the file is damaged, and a subclass for any other error.
            if type(error) is not sqlite3.DatabaseError:
                raise
            self._delete_damaged(version, error)
        with self._connection() as db:
            return transaction(db)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)) as db:
            if stat.S_IMODE(self.path.stat().st_mode) != 0o600:
                # Change the mode by path, because closing a file descriptor would release SQLite's locks in
                # other threads.
                self.path.chmod(0o600)
            # If a process is killed, the next process rolls back its journal. Only a power failure can damage
            # the file, and the count restarts after a boot. A transaction therefore does not need to wait for
            # the disk.
            db.execute("PRAGMA synchronous = OFF")
            # PERSIST is the fastest journal mode if each call opens a connection.
            db.execute("PRAGMA journal_mode = PERSIST")
            for statement in _SCHEMA:
                db.execute(statement)
            yield db

    def _file_version(self) -> tuple[int, int] | None:
        """Return a value that changes when the file is replaced, or None if the file does not exist."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _delete_damaged(self, version: tuple[int, int] | None, error: sqlite3.DatabaseError) -> None:
        if self._file_version() != version:
            return  # another process has already replaced the file
        _log.warning(
            "Replacing the file of this host's Stitch request budgets, because it is damaged (%s): %s. For "
            "ten minutes, Stitch may receive more requests than it allows.",
            error,
            self.path,
        )
        self.path.unlink(missing_ok=True)  # SQLite does not roll back an old journal into a new file

    def _delete_unused(self) -> None:
        """Delete unused files from earlier boots of this host, because each boot uses a new file."""
        for path in self.path.parent.glob(f"{_file_prefix()}*"):
            # Errors are ignored, because an unused file does no harm, and another process may have deleted
            # it.
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - UNUSED_FILE_RETENTION:
                    path.unlink()


def _file_prefix() -> str:
    # Each user has a separate file, because only the owner of a budget file can read it.
    return f"stitch-requests-{os.geteuid()}-"


@cache
def process_id(pid: int) -> str:
    """Return a unique id of this process.

    A forked process has a different pid, and therefore a different id. The pid alone is not unique, because
    containers that share a folder may use the same pids.
    """
    return f"{pid}-{uuid.uuid4().hex}"


def _clock_id() -> str:
    """Return an id of the monotonic clock. Processes with the same clock id can compare each other's times.

    All processes and containers on a running kernel have the same monotonic clock. The clock never jumps, but
    it stops while the host sleeps. After a sleep, a request may therefore count for longer than necessary,
    but never for too short a time. The clock restarts at each boot, so the id includes the boot. The wall
    clock is unsuitable, because it can be set. If the wall clock were set forward, all requests in the window
    would be forgotten. If the wall clock were set back, all requests would be blocked for hours.

    If hosts share a folder over the network, each host has its own file, because the boot ids differ.
    Separate files are intended, because file locks are unreliable between hosts. If containers on one host
    share a folder, they use the same file, even if their host names differ.
    """
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        # The operating system is not Linux. Times that were stored before the last boot are in the future, or
        # count for at most one window.
        return socket.gethostname()
    try:
        # A container can have its own monotonic clock, although this is rare.
        return f"{boot_id} {Path('/proc/self/ns/time').readlink()}"
    except OSError:
        return boot_id  # a kernel without time namespaces has one monotonic clock
