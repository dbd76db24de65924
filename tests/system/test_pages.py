"""Test that the commands on each documentation page succeed in order, and that the example tests pass."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tools.doc_blocks import ROOT, Block, blocks, pages_with_commands, script
from tools.sample_output import missing_lines, sample_output

BIN = Path(sys.executable).parent
TUTORIAL = "docs/tutorial/getting-started.md"
IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
# The example tests on the pages work only with Airflow 3, because they register the DAGs that they define.
PAGES = [
    page
    for page in pages_with_commands()
    if not (IS_AIRFLOW_2 and any(block.file and block.is_test for block in blocks() if block.page == page))
]

PIP = """
import sys
from importlib.metadata import metadata
from pathlib import Path
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

assert sys.argv[1] == "install", sys.argv
for text in sys.argv[2:]:
    if text.startswith("."):
        assert Path("pyproject.toml").exists(), "this is no checkout"
    requirement = Requirement("airflow-provider-stitch" + text[1:] if text.startswith(".") else text)
    assert requirement.name != "airflow-provider-stitch" or text.startswith("."), "no index has it"
    package = metadata(requirement.name)  # fails if it is not installed
    extras = {canonicalize_name(each) for each in package.get_all("Provides-Extra") or []}
    assert requirement.extras <= extras, text
"""
PYTHON3 = """
import os, sys
from pathlib import Path
if sys.argv[1:3] == ["-m", "venv"]:
    folder = Path(sys.argv[3], "bin")
    folder.mkdir(parents=True)
    (folder / "activate").write_text("")
else:
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an Airflow database without DAG runs.

    Each test copies this database, because creating a database is slow.
    """
    home = tmp_path_factory.mktemp("airflow")
    database = home / "airflow.db"
    subprocess.run(
        [BIN / "airflow", "db", "migrate"],
        env={**os.environ, "AIRFLOW_HOME": str(home), **_database(database)},
        check=True,
        capture_output=True,
        timeout=1800,
    )
    return database


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> dict[str, str]:
    """Return the Airflow setting for a new metadata database."""
    return _database(shutil.copy(empty_database, tmp_path / "airflow.db"))


def _database(path: Path) -> dict[str, str]:
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{path}"}


@pytest.fixture
def shell(tmp_path: Path, database: dict[str, str]) -> dict[str, str]:
    """Return environment variables for the commands of a page.

    The environment has a new home folder, and replacements for `pip`, `make` and `python3 -m venv` that
    change nothing.
    """
    folder = tmp_path / "commands"
    folder.mkdir()
    _command(folder / "pip", sys.executable, PIP)
    _command(folder / "python3", sys.executable, PYTHON3)
    _command(folder / "make", "/bin/sh", f'exec {shutil.which("make")} --dry-run --directory {ROOT} "$@"\n')
    (tmp_path / "home").mkdir()
    path = os.pathsep.join([str(folder), str(BIN), os.environ["PATH"]])
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("AIRFLOW_HOME", "AIRFLOW__CORE__DAGS_FOLDER") and not name.startswith("PYTEST_")
    }
    return {
        **inherited,
        "PATH": path,
        "HOME": str(tmp_path / "home"),
        **database,
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with those parts of the checkout that the printed commands use."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("pyproject.toml", "example_dags"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def _command(path: Path, interpreter: str, code: str) -> None:
    path.write_text(f"#!{interpreter}\n{code}")
    path.chmod(0o755)


if not IS_AIRFLOW_2:

    @pytest.mark.parametrize(
        "block", [each for each in blocks("python") if each.is_test and not each.file], ids=str
    )
    def test_documented_test_passes(block: Block, database: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "test_my_dag.py").write_text(block.code)

        completed = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
            cwd=tmp_path,
            env={**os.environ, **database},
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

        assert re.search(r"\d passed", completed.stdout), completed.stdout + completed.stderr


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_succeed_in_order(
    page: str, shell: dict[str, str], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = _with_free_port(script(page))

    completed = _run(code + "\nenv --null", shell, checkout)

    output = completed.stdout + completed.stderr
    assert completed.returncode == 0, output
    _check_connections(completed.stdout, monkeypatch)
    if page == TUTORIAL:
        assert missing_lines(sample_output(page), output, with_prefix=not IS_AIRFLOW_2) == []
        assert [each["name"] for each in _sources(output)][:1] == ["github"]
        assert (Path(shell["HOME"]) / "airflow" / "dags" / "stitch_one_source.py").exists()
    if "pytest" in code:
        assert "2 passed" in output


def _with_free_port(code: str) -> str:
    """Replace each printed port with a free port, on which the emulator can listen."""
    for printed in re.findall(r"--port (\d+)", code):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            code = code.replace(printed, str(free.getsockname()[1]))
    return code


def _sources(output: str) -> list[dict[str, str]]:
    (line,) = (each for each in output.splitlines() if each.startswith('{"url"'))
    return list(json.loads(line)["sources"])


def _check_connections(printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the hook accepts each connection that a page has defined as an environment variable."""
    from airflow_provider_stitch.hooks.stitch import StitchHook

    for variable, value in re.findall(r"(AIRFLOW_CONN_\w+)=([^\0]*)", printed):
        monkeypatch.setenv(variable, value)
        hook = StitchHook(variable.removeprefix("AIRFLOW_CONN_").lower())
        assert hook.partner if "partner_id" in value else hook.client


def _run(script: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script.

    If the script takes too long, kill the script and all processes that it has started.
    """
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=1800)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
