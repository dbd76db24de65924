"""Search for secrets in all data that Airflow has written to disk and to its database."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from cryptography.fernet import Fernet

from tests.support.secret_encodings import find_encodings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.dag_runs import DagRunResult


def airflow_home_contents() -> bytes:
    """Return the contents of all files in Airflow's home: the database, logs and rendered templates."""
    return read_files(Path(os.environ["AIRFLOW_HOME"]))


def assert_no_secrets_left(dag_run: DagRunResult, *secrets: str, marker: str) -> None:
    """Check that no secret appears, in any encoding, in the output of a DAG run or in Airflow's home.

    :param marker: a word that must appear in Airflow's home, such as a task id. The marker shows that the
        check has actually read Airflow's data.
    """
    contents = airflow_home_contents()
    assert marker.encode() in contents, "Airflow's database was not read"
    for secret in secrets:
        assert find_encodings(secret, dag_run.output.encode()) == []
        assert find_encodings(secret, contents) == []


def read_files(folder: Path) -> bytes:
    """Return the joined contents of all files below a folder, except configuration files."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".cfg"]
    # A child process reads the files. If the test process closed a SQLite file, the process would lose all
    # its locks on the file. The next process that closes the database would then delete a journal that is
    # still in use.
    read = subprocess.run(["cat", "--", *files], check=False, capture_output=True, env={"LC_ALL": "C"})
    # A listed file can be removed before it is read.
    errors = [line for line in read.stderr.splitlines() if b"No such file" not in line]
    assert not errors, errors
    return read.stdout


def read_rows(database: str, fernet_key: str) -> Iterator[bytes]:
    """Yield all values in Airflow's database, including the decrypted arguments of triggers.

    A search of the database file would miss secrets, because SQLite splits long values.
    """
    engine = sqlalchemy.create_engine(database)
    tables = sqlalchemy.inspect(engine).get_table_names()
    with engine.connect() as connection:
        for table in tables:
            all_rows = sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(table))
            for row in connection.execute(all_rows).mappings():
                yield from map(_as_bytes, row.values())
                # Only Airflow 2 encrypts the arguments of triggers.
                if table == "trigger" and row["kwargs"].startswith("gAAAA"):
                    yield Fernet(fernet_key).decrypt(row["kwargs"].encode())
    engine.dispose()


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode()
