"""All that an Airflow has written."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import sqlalchemy
from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def files_in(folder: Path) -> bytes:
    """What is in all files of a folder, one after the other."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".cfg"]
    # Not read by this process: closing a file of SQLite's ends the locks that its own connections have on it,
    # and the next process that closes the database then deletes the journal that these go on writing to.
    read = subprocess.run(["cat", "--", *files], check=False, capture_output=True, env={"LC_ALL": "C"})
    unread = [line for line in read.stderr.splitlines() if b"No such file" not in line]  # but gone meanwhile
    assert not unread, unread
    return read.stdout


def rows_of(database: str, fernet_key: str) -> Iterator[bytes]:
    """All values in the database of an Airflow, with the arguments of its triggers deciphered.

    (The files of a database do not show them: a long value lies there in pieces.)
    """
    engine = sqlalchemy.create_engine(database)
    tables = sqlalchemy.inspect(engine).get_table_names()
    with engine.connect() as connection:
        for table in tables:
            everything = sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(table))
            for row in connection.execute(everything).mappings():
                yield from map(_as_bytes, row.values())
                # Airflow 2 enciphers them, Airflow 3 does not.
                if table == "trigger" and row["kwargs"].startswith("gAAAA"):
                    yield Fernet(fernet_key).decrypt(row["kwargs"].encode())
    engine.dispose()


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode()
