"""Read the log of a task while the worker and the triggerer are writing it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "airflow_provider_stitch"

# The Airflow UI collapses the lines between these two markers.
FOLD_MARKS = ("::group::", "::endgroup::")


class TaskLog:
    """A reader that follows the log files of a task's first try.

    :param folder: the folder of the task's logs, which may not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}

    def new_lines(self) -> list[str]:
        """Return the lines that this provider has logged since the previous call, ordered by timestamp."""
        records = [record for path in log_files(self._folder) for record in self._new_records(path)]
        records.sort(key=lambda record: str(record.get("timestamp", "")))
        return [_line(record) for record in records if _is_ours(record)]

    def _new_records(self, path: Path) -> list[dict[str, Any]]:
        with path.open("rb") as log:
            log.seek(self._offsets.get(path, 0))
            appended = log.read()
        complete = appended[: appended.rfind(b"\n") + 1]
        self._offsets[path] = self._offsets.get(path, 0) + len(complete)
        return [record for line in complete.splitlines() if (record := _parsed(line)) is not None]


def log_files(folder: Path) -> list[Path]:
    """Return the log files of a task's first try, with the worker's file before the triggerer's file."""
    return sorted(folder.glob("attempt=1.log*"))


def readable_end(folder: Path, count: int) -> list[str]:
    """Return the last lines of a task's log, including the messages of exceptions."""
    records = []
    for path in log_files(folder):
        lines = path.read_bytes().splitlines()
        records += [record for line in lines if (record := _parsed(line)) is not None]
    records.sort(key=lambda record: str(record.get("timestamp", "")))
    return [line for record in records for line in _with_errors(record)][-count:]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _is_ours(record: dict[str, Any]) -> bool:
    return PACKAGE in str(record.get("logger", ""))


def _line(record: dict[str, Any]) -> str:
    level = str(record.get("level", "info"))
    return str(record["event"]) if level == "info" else f"{level.upper()}: {record['event']}"


def _with_errors(record: dict[str, Any]) -> list[str]:
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in record.get("error_detail") or []]
    lines = [line for text in (_line(record), *errors) for line in text.splitlines()]
    return [line for line in lines if not line.startswith(FOLD_MARKS)]
