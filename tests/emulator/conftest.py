"""A fresh emulator for each test, spoken to with plain `requests`: what is tested here is the wire."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_stitch.emulator import StitchEmulator

from .described import check_described

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator import EmulatedAccount

ROOT = Path(__file__).parents[2]
PLUGIN = "airflow_provider_stitch.emulator.pytest_plugin"
START = datetime(2026, 8, 17, 6, 0, 2, 250_000, tzinfo=timezone.utc)


@dataclass
class Api:
    """Requests to an emulated account with its token. Redirects are not followed.

    Each answer must be what the emulator's own description says, unless ``described=False``.
    """

    stitch: StitchEmulator
    account: EmulatedAccount
    described: bool = True

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.account.access_token}", "Content-Type": "application/json"}
        headers.update(options.pop("headers", {}))
        options = {"timeout": 10, "allow_redirects": False, **options}
        answer = requests.request(method, self.stitch.url + path, headers=headers, **options)
        if self.described:
            check_described(method, path, answer)
        return answer

    def get(self, path: str) -> Any:
        """The JSON of a 200."""
        answer = self("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def start(self, source_id: int) -> str:
        """Start a job and return its name."""
        name = self("POST", f"/v4/sources/{source_id}/sync", json={}).json()["job_name"]
        assert isinstance(name, str)
        return name

    def extractions(self) -> Any:
        """The first page of the extractions."""
        return self.get(f"/v4/{self.account.client_id}/extractions")["data"]

    def extraction(self, source_id: int) -> Any:
        """The extraction that is listed for a source, or None."""
        return next((row for row in self.extractions() if row["source_id"] == source_id), None)

    def loads(self) -> Any:
        """The first page of the loads."""
        return self.get(f"/v4/{self.account.client_id}/loads")["data"]

    def loaded_at(self) -> dict[str, str | None]:
        """When each stream's last batch was loaded."""
        return {row["stream_name"]: row["last_batch_loaded_at"] for row in self.loads()}

    def log_answer(self, job_name: str) -> requests.Response:
        """What the logs endpoint says: a redirect, or an error."""
        return self("GET", f"/v4/{self.account.client_id}/extractions/{job_name}")

    def log(self, job_name: str) -> str:
        """The log of a job, read as it should be: the token stays behind."""
        answer = self.log_answer(job_name)
        assert answer.status_code == 302, answer.status_code
        return requests.get(answer.headers["Location"], timeout=10).text


@pytest.fixture
def stitch() -> Iterator[StitchEmulator]:
    """An emulator whose time all but stands still, so that a test alone decides what time it is."""
    with StitchEmulator(speed=1e-6, start=START) as stitch:
        yield stitch


@pytest.fixture
def api(stitch: StitchEmulator) -> Api:
    """The emulator's first account."""
    return Api(stitch, stitch)


@pytest.fixture
def github(stitch: StitchEmulator) -> int:
    """A source with a stream that has rows and one that has none."""
    return stitch.add_source("github", streams={"commits": 120, "issues": 0})


def run_pytest(script: Path) -> subprocess.CompletedProcess[str]:
    """Run a test file as a DAG author would, with our plugin and no other."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", script],
        # Named with -p, for the package need not be installed; so it must not come by its entry point, too.
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )
