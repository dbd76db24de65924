"""Compare the CPU time needed to import the operators of several providers."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.results import Result
from benchmarks.subprocesses import run_worker

if TYPE_CHECKING:
    from rich.console import Console

IMPORT_MODULES = Path(__file__).parent / "workers" / "import_modules.py"
RUNS = 5
MAX_RATIO_TO_AIRBYTE = 1 / 5  #: maximum CPU time relative to Airbyte's provider
MAX_MODULES = 15
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
    """The modules of a provider, and the measured CPU times of their import."""

    name: str
    modules: tuple[str, ...]
    cached: list[float] = field(default_factory=list)  #: CPU seconds of each run with cached bytecode
    uncached: list[float] = field(default_factory=list)  #: CPU seconds of each run without cached bytecode
    added: list[str] = field(default_factory=list)  #: modules that the import adds

    def measure(self, folder: Path, *, cached: bool) -> float:
        """Import the modules in a new process, and return the CPU time in seconds."""
        result = run_worker(
            IMPORT_MODULES,
            {"modules": self.modules, "cached": cached, "empty_folder": str(folder / "empty")},
            "-X",
            f"pycache_prefix={folder / 'cached'}",
            AIRFLOW_HOME=str(folder / "airflow"),
        )
        self.added = result["modules"]
        seconds: float = result["seconds"]
        return seconds


def run(console: Console) -> Result:
    """Run the benchmark, print a table, and return the figures and the missed targets."""
    ours = Subject(
        "Stitch (operators and sensors)",
        (
            "airflow_provider_stitch.operators.stitch",
            "airflow_provider_stitch.operators.run_job",  # operators.stitch imports this module at first use
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
    with console.status("Importing operators in new processes"), tempfile.TemporaryDirectory() as folder:
        _measure(subjects, Path(folder))
    console.print(_table(subjects, airbyte))
    console.print(
        "CPU time and modules in addition to `from airflow.sdk import DAG`: minimum / median of "
        f"{RUNS} new processes each, taking turns. The ratio compares the minimum times.",
        style="dim",
        highlight=False,
    )
    return Result(_misses(ours, airbyte), {subject.name: asdict(subject) for subject in subjects})


def _measure(subjects: list[Subject], folder: Path) -> None:
    for subject in subjects:
        subject.measure(folder, cached=True)  # do not record this run, because it fills the cache
    for _ in range(RUNS):
        for subject in subjects:
            subject.cached.append(subject.measure(folder, cached=True))
            subject.uncached.append(subject.measure(folder, cached=False))


def _table(subjects: list[Subject], baseline: Subject) -> Table:
    table = Table(title="What importing a provider's operators adds to a DAG file", title_justify="left")
    table.add_column("Provider")
    for heading in (
        "Cached bytecode (ms)",
        "ratio to Airbyte",
        "No cache (ms)",
        "ratio to Airbyte",
        "Modules",
    ):
        table.add_column(heading, justify="right")
    for subject in subjects:
        table.add_row(
            subject.name,
            _milliseconds(subject.cached),
            f"{_ratio(subject.cached, baseline.cached):.2f}",
            _milliseconds(subject.uncached),
            f"{_ratio(subject.uncached, baseline.uncached):.2f}",
            str(len(subject.added)),
        )
    return table


def _milliseconds(seconds: list[float]) -> str:
    return f"{min(seconds) * 1000:.1f} / {statistics.median(seconds) * 1000:.1f}"


def _ratio(seconds: list[float], baseline: list[float]) -> float:
    # Compare the minimum times, because other processes have the least effect on the fastest run.
    return min(seconds) / min(baseline)


def _misses(ours: Subject, airbyte: Subject) -> list[str]:
    misses = []
    for state, ratio in (
        ("with cached bytecode", _ratio(ours.cached, airbyte.cached)),
        ("without cached bytecode", _ratio(ours.uncached, airbyte.uncached)),
    ):
        if ratio > MAX_RATIO_TO_AIRBYTE:
            misses.append(
                f"{state}, the import takes {ratio:.2f} of Airbyte's time; at most {MAX_RATIO_TO_AIRBYTE:.2f}"
            )
    if len(ours.added) > MAX_MODULES:
        misses.append(f"the import adds {len(ours.added)} modules; at most {MAX_MODULES}")
    unwanted = [name for name in ours.added if _is_within(name, UNWANTED)]
    if unwanted:
        misses.append(f"the import adds {', '.join(unwanted)}, which a DAG file does not need")
    return misses


def _is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
