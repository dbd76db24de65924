"""The file by which the processes of one host count their requests together.

SQLite does the locking: a transaction is all or nothing, and the lock of a process that is killed is gone
with it. A connection is opened for each call and closed after it. So none is ever carried over a fork or
among threads, and a file that was deleted meanwhile is simply begun again. With 30 requests in the file a
call takes 0.3 to 0.4 ms so; a connection that is kept would save half of it, where a request to Stitch takes
hundreds.
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
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.replication.budget.window import WINDOW, Window, available_in, fair_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

MAX_IN_FLIGHT_SECONDS = 600.0
"""Seconds after which a request without an answer counts as answered: its process must have been killed.

With the default timeout Stitch's own part of an answer ends within 3 minutes, however slow. What takes longer
is a log that comes from another host, when Stitch has long counted the request.
"""

LOCK_TIMEOUT = 2.0
"""Seconds to wait for other processes."""

MAX_CLOCK_SKEW = 5.0
"""Seconds by which an instant in the file may lie ahead (of one who had to wait for the lock, say). What lies
further ahead was written by another clock."""

UNUSED_FILE_RETENTION = 86_400.0
"""Seconds after which the file of an earlier boot, or of another host, is deleted."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS requests (
        account TEXT NOT NULL, process TEXT NOT NULL, sent_at REAL NOT NULL, answered_at REAL
    )""",
    """CREATE TABLE IF NOT EXISTS blocks (
        account TEXT PRIMARY KEY, blocked_at REAL NOT NULL, blocked_until REAL NOT NULL
    )""",
)

_log = logging.getLogger(__name__)


class BudgetStore:
    """The requests of one account that this host's processes have sent. Each method is one transaction.

    Every method raises OSError or sqlite3.Error when the file cannot be used. A damaged file is replaced.

    :param account: base URL and client ID; both stand in the file, and no secret does.
    """

    def __init__(
        self, folder: Path, account: tuple[str, int], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = folder / f"{_prefix()}{hashlib.sha256(_clock_name().encode()).hexdigest()[:12]}.sqlite"
        self._account = " ".join(map(str, account))
        self._monotonic = monotonic

    def window(self, limit: int) -> Window:
        """Return what all processes together have left of `limit`, and this one's share of it."""
        return self._use(lambda db: self._window(db, limit))

    def acquire(self, limit: int) -> float:
        """Count one more request and return 0.0; or return the seconds until one of `limit` is free."""

        def acquire(db: sqlite3.Connection) -> float:
            db.execute("BEGIN IMMEDIATE")
            # The clock is read under the lock, so that instants follow each other as transactions do.
            wait = self._window(db, limit).available_in[0]
            if not wait:
                self._delete_old(db)
                db.execute("INSERT INTO requests VALUES (:account, :process, :now, NULL)", self._values())
                db.execute("COMMIT")
            return wait

        return self._use(acquire)

    def release(self) -> None:
        """Note an answer. Which one does not matter to the count, so it is that of the oldest request."""
        self._use(
            lambda db: db.execute(
                "UPDATE requests SET answered_at = :now WHERE rowid = (SELECT rowid FROM requests WHERE "
                "account = :account AND process = :process AND answered_at IS NULL ORDER BY sent_at LIMIT 1)",
                self._values(),
            )
        )

    def block(self, seconds: float) -> None:
        """Let no process send anything for so many seconds."""

        def block(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            self._delete_old(db)
            db.execute(
                "INSERT INTO blocks VALUES (:account, :now, :now + :seconds) ON CONFLICT (account) DO UPDATE "
                "SET blocked_at = :now, blocked_until = MAX(blocked_until, excluded.blocked_until)",
                {**self._values(), "seconds": seconds},
            )
            db.execute("COMMIT")

        self._use(block)

    def _window(self, db: sqlite3.Connection, limit: int) -> Window:
        values = self._values()
        requests = db.execute(
            "SELECT process, COALESCE(answered_at, MIN(:now, sent_at + :longest)) + :window FROM requests "
            "WHERE account = :account AND COALESCE(answered_at, sent_at + :longest) + :window > :now "
            "AND MAX(sent_at, COALESCE(answered_at, sent_at)) <= :now + :skew",
            values,
        ).fetchall()
        (blocked_until,) = db.execute(
            "SELECT COALESCE(MAX(blocked_until), :now) + 0.0 FROM blocks "
            "WHERE account = :account AND blocked_at <= :now + :skew",
            values,
        ).fetchone()
        return Window(
            available_in(
                limit, [until for _, until in requests], now=values["now"], blocked_until=blocked_until
            ),
            fair_share(limit, [process for process, _ in requests if process != values["process"]]),
        )

    def _delete_old(self, db: sqlite3.Connection) -> None:
        """Delete, of all accounts, what does not count any more and what another clock has written."""
        values = self._values()
        db.execute(
            "DELETE FROM requests WHERE COALESCE(answered_at, sent_at + :longest) + :window <= :now "
            "OR MAX(sent_at, COALESCE(answered_at, sent_at)) > :now + :skew",
            values,
        )
        db.execute("DELETE FROM blocks WHERE blocked_until <= :now OR blocked_at > :now + :skew", values)

    def _values(self) -> dict[str, Any]:
        return {
            "account": self._account,
            "process": _process_name(os.getpid()),
            "now": self._monotonic(),
            "window": WINDOW,
            "longest": MAX_IN_FLIGHT_SECONDS,
            "skew": MAX_CLOCK_SKEW,
        }

    def _use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        found = self._state()
        if found is None:
            self._delete_unused()
        try:
            with self._opened() as db:
                return work(db)
        except sqlite3.DatabaseError as error:
            # This very class says that the file is damaged or no database; the others are its subclasses.
            if type(error) is not sqlite3.DatabaseError:
                raise
            self._delete_damaged(found, error)
        with self._opened() as db:
            return work(db)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)) as db:
            if stat.S_IMODE(self.path.stat().st_mode) != 0o600:
                # By its name: to close a file of one's own would release SQLite's locks in other threads.
                self.path.chmod(0o600)
            # A killed process leaves a journal that the next one rolls back. Only a power cut can do damage,
            # and after one the count begins anew anyway: so nothing is worth waiting for the disk.
            db.execute("PRAGMA synchronous = OFF")
            db.execute("PRAGMA journal_mode = PERSIST")  # the cheapest where each call opens and closes
            for statement in _SCHEMA:
                db.execute(statement)
            yield db

    def _state(self) -> tuple[int, int] | None:
        """Return what tells this file from one that replaces it, or None where there is none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _delete_damaged(self, found: tuple[int, int] | None, error: sqlite3.DatabaseError) -> None:
        if self._state() != found:
            return  # another process has been faster
        _log.warning(
            "The file in which this host's processes share their request budgets for Stitch is damaged (%s), "
            "so it is begun anew: %s. For ten minutes Stitch may be asked more often than it allows.",
            error,
            self.path,
        )
        self.path.unlink(missing_ok=True)  # and SQLite does not roll an old journal back into a new file

    def _delete_unused(self) -> None:
        """Delete what earlier boots of this host have left, each of which had a file of its own."""
        for path in self.path.parent.glob(f"{_prefix()}*"):
            # Only tidiness: what cannot be deleted, or is gone already, harms nobody.
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - UNUSED_FILE_RETENTION:
                    path.unlink()


def _prefix() -> str:
    # A file belongs to one user, since only that user may read it.
    return f"stitch-requests-{os.geteuid()}-"


@cache
def _process_name(pid: int) -> str:
    """Name this process as no other is named. A forked one has another pid, and so another name.

    The pid alone is not enough: containers that share a folder each count theirs from 1.
    """
    return f"{pid}-{uuid.uuid4().hex}"


def _clock_name() -> str:
    """Name the clock by which instants in the file can be compared: that of a running kernel.

    The monotonic clock is the same for all processes and containers of a host, never jumps, and stands still
    while the host sleeps (a request counts longer then, never shorter). It begins anew when the host boots.
    The wall clock would go on, but it can be set: forward, and a full window is forgotten; back, and nobody
    may ask for hours. So the file is named by the boot. Hosts that share a folder over the network thereby
    have one file each, since locks there need not hold among hosts; and containers of one host that share a
    folder share the file, whatever their host names.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        # Not Linux. What an earlier boot has written lies ahead of the clock, or counts for a window at most.
        return socket.gethostname()
    try:
        # A container may have a monotonic clock of its own, though hardly one does.
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    except OSError:
        return boot  # an old kernel, that has one such clock
