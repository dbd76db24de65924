"""Functions that describe the machine and the installed versions of packages."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTIONS = (
    "airflow-provider-stitch",
    "apache-airflow",
    "apache-airflow-task-sdk",
    "apache-airflow-providers-common-compat",
    "apache-airflow-providers-airbyte",
    "apache-airflow-providers-dbt-cloud",
    "airflow-provider-fivetran-async",
    "requests",
)


def describe() -> str:
    """Return the processor, the number of cores, the system and the Python version on one line."""
    cores = os.cpu_count()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{_processor()}, {cores} cores, {platform.system()} {platform.release()}, {python}"


def versions() -> str:
    """Return the installed versions of the packages that the benchmarks measure, on one line."""
    installed = {}
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return ", ".join(f"{name} {number}" for name, number in installed.items())


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
