"""What a DAG file pays, at every parse, for importing a provider's operators.

Airflow parses each DAG file again and again, each time in a new process, so an import that is not needed
there is paid thousands of times a day. Counted is CPU time, since other processes' work must not count.

Python keeps modules compiled, unless it may not write them or is told not to (PYTHONDONTWRITEBYTECODE, as
some images set it); then each parse compiles them anew, which takes several times as long. Both are measured.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.children import run_child
from benchmarks.results import Result

if TYPE_CHECKING:
    from rich.console import Console

RUNS = 7
MOST_OF_AIRBYTE = 1 / 5  #: of its CPU time
MOST_MODULES = 12
UNWANTED = (
    "requests",
    "tenacity",
    "asyncio",
    "airflow.triggers",
    "airflow_provider_stitch.connect",
    "airflow_provider_stitch.emulator",
    "airflow_provider_stitch.replication",
)


@dataclass
class Subject:
    """Some modules, and what importing them has cost so far."""

    name: str
    modules: tuple[str, ...]
    compiled: list[float] = field(default_factory=list)  #: CPU seconds of each run
    uncompiled: list[float] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    def measure(self, folder: Path, *, compiled: bool) -> float:
        """Import the modules once more, in a new process, and return its CPU seconds."""
        result = run_child(
            "child_import.py",
            {"modules": self.modules, "compiled": compiled, "empty_folder": str(folder / "empty")},
            "-X",
            f"pycache_prefix={folder / 'compiled'}",
            AIRFLOW_HOME=str(folder / "airflow"),
        )
        self.added = result["modules"]
        seconds: float = result["seconds"]
        return seconds


def run(console: Console) -> Result:
    """Measure, print a table, and return what was found, with the targets that were missed."""
    ours = Subject(
        "Stitch (operators and sensors)",
        (
            "airflow_provider_stitch.operators.stitch",
            "airflow_provider_stitch.operators.run",  # which the one before imports at the first use
            "airflow_provider_stitch.sensors.stitch",
        ),
    )
    airbyte = Subject("Airbyte", ("airflow.providers.airbyte.operators.airbyte",))
    subjects = [
        ours,
        airbyte,
        Subject("dbt Cloud", ("airflow.providers.dbt.cloud.operators.dbt",)),
        Subject("Fivetran", ("fivetran_provider_async.operators",)),
        Subject("common.compat.sdk alone", ("airflow.providers.common.compat.sdk",)),
    ]
    with console.status("Importing operators in fresh processes"), tempfile.TemporaryDirectory() as folder:
        _measure(subjects, Path(folder))
    console.print(_table(subjects, airbyte))
    console.print(
        "CPU time and modules on top of `from airflow.sdk import DAG`: least / median of "
        f"{RUNS} fresh processes each, in turns. The ratio is that of the least times.",
        style="dim",
        highlight=False,
    )
    return Result(_misses(ours, airbyte), {subject.name: asdict(subject) for subject in subjects})


def _measure(subjects: list[Subject], folder: Path) -> None:
    for subject in subjects:
        subject.measure(folder, compiled=True)  # compiles the modules, so it does not count
    for _ in range(RUNS):
        for subject in subjects:
            subject.compiled.append(subject.measure(folder, compiled=True))
            subject.uncompiled.append(subject.measure(folder, compiled=False))


def _table(subjects: list[Subject], yardstick: Subject) -> Table:
    table = Table(title="What importing a provider's operators adds to a DAG file", title_justify="left")
    table.add_column("Provider")
    for heading in ("Compiled (ms)", "of Airbyte", "Not compiled (ms)", "of Airbyte", "Modules"):
        table.add_column(heading, justify="right")
    for subject in subjects:
        table.add_row(
            subject.name,
            _milliseconds(subject.compiled),
            f"{_ratio(subject.compiled, yardstick.compiled):.2f}",
            _milliseconds(subject.uncompiled),
            f"{_ratio(subject.uncompiled, yardstick.uncompiled):.2f}",
            str(len(subject.added)),
        )
    return table


def _milliseconds(seconds: list[float]) -> str:
    return f"{min(seconds) * 1000:.1f} / {statistics.median(seconds) * 1000:.1f}"


def _ratio(seconds: list[float], others: list[float]) -> float:
    # The least is the run that was disturbed least.
    return min(seconds) / min(others)


def _misses(ours: Subject, airbyte: Subject) -> list[str]:
    misses = []
    for state, ratio in (
        ("compiled", _ratio(ours.compiled, airbyte.compiled)),
        ("not compiled", _ratio(ours.uncompiled, airbyte.uncompiled)),
    ):
        if ratio > MOST_OF_AIRBYTE:
            misses.append(
                f"{state}, the import takes {ratio:.2f} of Airbyte's time, over {MOST_OF_AIRBYTE:.2f}"
            )
    if len(ours.added) > MOST_MODULES:
        misses.append(f"the import adds {len(ours.added)} modules; at most {MOST_MODULES}")
    unwanted = [name for name in ours.added if _is_within(name, UNWANTED)]
    if unwanted:
        misses.append(f"the import adds {', '.join(unwanted)}")
    return misses


def _is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
