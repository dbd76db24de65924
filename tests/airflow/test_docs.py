"""The DAGs, tests and commands in the documentation work unchanged, and so does the whole tutorial."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from tests.support.dag_runs import AIRFLOW_HOME, load_dag
from tools.doc_blocks import ROOT, Block, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
# Watchers need Airflow 3.3.
UNSUPPORTED = "watch=True" if version("apache-airflow").startswith("2.") else None
BLOCKS = [
    block
    for block in blocks("python")
    if block.is_of_airflow and not (UNSUPPORTED and UNSUPPORTED in block.code)
]
COMMANDS = [block for block in blocks("sh") if block.page != "docs/tutorial/getting-started.md"]

PIP = """
import sys
from importlib.metadata import metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

assert sys.argv[1] == "install", sys.argv
for text in sys.argv[2:]:
    requirement = Requirement("airflow-provider-stitch" + text[1:] if text.startswith(".") else text)
    package = metadata(requirement.name)  # fails if it is not installed
    extras = {canonicalize_name(each) for each in package.get_all("Provides-Extra") or []}
    assert requirement.extras <= extras, text
"""
STITCH_EMULATOR = """
import subprocess, sys
arguments = sys.argv[1:]
if "--port" in arguments:
    arguments[arguments.index("--port") + 1] = "0"  # any free port
with subprocess.Popen([REAL, *arguments], stdout=subprocess.PIPE, text=True) as process:
    print(process.stdout.readline())
    process.terminate()
sys.exit(process.returncode)
""".replace("REAL", repr(str(BIN / "stitch-emulator")))


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a pip and a make that change nothing, and a stitch-emulator that exits."""
    folder = tmp_path / "commands"
    folder.mkdir()
    _command(folder / "pip", sys.executable, PIP)
    _command(folder / "stitch-emulator", sys.executable, STITCH_EMULATOR)
    _command(folder / "make", "/bin/sh", f'exec {shutil.which("make")} --dry-run --directory {ROOT} "$@"\n')
    return {**os.environ, "PATH": os.pathsep.join([str(folder), str(BIN), os.environ["PATH"]])}


def _command(path: Path, interpreter: str, code: str) -> None:
    path.write_text(f"#!{interpreter}\n{code}")
    path.chmod(0o755)


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.is_dag], ids=str)
def test_documented_dag_succeeds(airflow, account, block: Block, tmp_path: Path) -> None:
    path = tmp_path / "dag.py"
    path.write_text(block.code)

    with patch.dict(os.environ):  # restores what the DAG changes
        dag_run = airflow.run(load_dag(path))

    assert dag_run.state == "success"
    assert set(dag_run.states.values()) <= {"success"}


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("block", [each for each in BLOCKS if not each.is_dag and not each.is_test], ids=str)
def test_documented_python_block_runs(block: Block) -> None:
    exec(compile(block.code, str(block), "exec"), {"__name__": "block"})


# The pages show tests for Airflow 3, which has to register a DAG that a test defines.
if not version("apache-airflow").startswith("2."):

    @pytest.mark.usefixtures("airflow_database")
    @pytest.mark.parametrize("block", [each for each in BLOCKS if each.is_test], ids=str)
    def test_documented_test_passes(block: Block, tmp_path: Path) -> None:
        tests, dags = tmp_path / "tests", tmp_path / "dags"  # next to each other, as on the pages
        tests.mkdir()
        (tests / "test_my_dag.py").write_text(block.code)
        shutil.copytree(ROOT / "example_dags", dags)

        completed = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
            cwd=tmp_path,
            env={
                **os.environ,
                "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _copy_database(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

        assert re.search(r"\d passed", completed.stdout), completed.stdout + completed.stderr


def _copy_database(home: Path) -> str:
    """Copy Airflow's database for another process, and return the URL of the copy.

    Creating one takes long, and SQLite reported a database that both processes used as malformed.
    """
    with (
        closing(sqlite3.connect(AIRFLOW_HOME / "airflow.db")) as database,
        closing(sqlite3.connect(home / "airflow.db")) as copy,
    ):
        database.backup(copy)
    return f"sqlite:///{home}/airflow.db"


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_documented_commands_succeed(
    block: Block, shell: dict[str, str], tmp_path: Path, monkeypatch
) -> None:
    completed = _run(block.code + "\nenv --null", shell, tmp_path)

    assert completed.returncode == 0, completed.stdout + completed.stderr
    _check_connections(completed.stdout, monkeypatch)


def _check_connections(printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the hook accepts each connection that a block has defined in the environment."""
    from airflow_provider_stitch.hooks.stitch import StitchHook

    for variable, value in re.findall(r"(AIRFLOW_CONN_\w+)=([^\0]*)", printed):
        monkeypatch.setenv(variable, value)
        hook = StitchHook(variable.removeprefix("AIRFLOW_CONN_").lower())
        assert hook.partner if "partner_id" in value else hook.client


def _run(script: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.mark.usefixtures("airflow_database")
def test_getting_started_page_works_from_start_to_end(
    shell: dict[str, str], local_stitch: tuple[str, str], tmp_path: Path, monkeypatch
) -> None:
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    shutil.copy(ROOT / "example_dags" / "stitch_one_source.py", home / "dags")
    commands = [block.code for block in blocks("sh") if block.page == "docs/tutorial/getting-started.md"]
    install, _serve, connect, run_it, connect_for_real = commands
    own_airflow = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _copy_database(home),
    }
    printed, port = local_stitch

    completed = _run((install + connect + run_it).replace("8899", port), {**shell, **own_airflow}, tmp_path)

    output = completed.stdout + completed.stderr
    assert completed.returncode == 0, output
    assert "github" in {source["name"] for source in json.loads(printed)["sources"]}
    assert "3 streams to load: commits (412 rows), issues (100 rows), pull_requests (37 rows)" in output
    assert "Done: 549 rows in 3 streams of source github (310442) are loaded" in output
    _check_connections(_run(connect_for_real + "\nenv --null", shell, tmp_path).stdout, monkeypatch)


@pytest.fixture
def local_stitch() -> Iterator[tuple[str, str]]:
    """Start the emulator of the tutorial on a free port; return the line that it prints, and the port."""
    (serve,) = (block.code for block in blocks("sh") if block.code.startswith("stitch-emulator --port 8899"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with subprocess.Popen(
        [BIN / "stitch-emulator", *serve.replace("8899", port).split()[1:]], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline(), port
        process.terminate()
