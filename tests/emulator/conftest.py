"""Fixtures that start a new emulator for each test.

The tests use `requests` directly, because they test the HTTP interface.
"""

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

from .openapi_check import check_response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator import EmulatedAccount

ROOT = Path(__file__).parents[2]
PLUGIN = "airflow_provider_stitch.emulator.pytest_plugin"
START = datetime(2026, 8, 17, 6, 0, 2, 250_000, tzinfo=timezone.utc)


@dataclass
class Api:
    """Sends requests to an emulated account with the account's token, and does not follow redirects.

    Each response must match the emulator's OpenAPI description, unless ``check_schema`` is False.
    """

    stitch: StitchEmulator
    account: EmulatedAccount
    check_schema: bool = True

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.account.access_token}", "Content-Type": "application/json"}
        headers.update(options.pop("headers", {}))
        options = {"timeout": 10, "allow_redirects": False, **options}
        response = requests.request(method, self.stitch.url + path, headers=headers, **options)
        if self.check_schema:
            check_response(method, path, response)
        return response

    def get(self, path: str) -> Any:
        """Send a GET request and return the JSON body of the response, which must have the status 200."""
        response = self("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def start(self, source_id: int) -> str:
        """Start a job and return its name."""
        name = self("POST", f"/v4/sources/{source_id}/sync", json={}).json()["job_name"]
        assert isinstance(name, str)
        return name

    def extractions(self) -> Any:
        """Return the first page of extractions."""
        return self.get(f"/v4/{self.account.client_id}/extractions")["data"]

    def extraction(self, source_id: int) -> Any:
        """Return the extraction that is listed for a source, or None."""
        return next((row for row in self.extractions() if row["source_id"] == source_id), None)

    def loads(self) -> Any:
        """Return the first page of loads."""
        return self.get(f"/v4/{self.account.client_id}/loads")["data"]

    def loaded_at(self) -> dict[str, str | None]:
        """Return the time of the last load for each stream."""
        return {row["stream_name"]: row["last_batch_loaded_at"] for row in self.loads()}

    def log_response(self, job_name: str) -> requests.Response:
        """Return the response from the log endpoint, which is a redirect or an error."""
        return self("GET", f"/v4/{self.account.client_id}/extractions/{job_name}")

    def log(self, job_name: str) -> str:
        """Return the log for a job. The request to the log host must not contain the token."""
        response = self.log_response(job_name)
        assert response.status_code == 302, response.status_code
        return requests.get(response.headers["Location"], timeout=10).text


@pytest.fixture
def stitch() -> Iterator[StitchEmulator]:
    """Return an emulator with a clock that almost stands still, so that only the test advances the time."""
    with StitchEmulator(speed=1e-6, start=START) as stitch:
        yield stitch


@pytest.fixture
def api(stitch: StitchEmulator) -> Api:
    """Return an API client for the first account."""
    return Api(stitch, stitch)


@pytest.fixture
def github(stitch: StitchEmulator) -> int:
    """Return the id of a source that has one stream with rows and one stream without rows."""
    return stitch.add_source("github", streams={"commits": 120, "issues": 0})


def run_pytest(script: Path) -> subprocess.CompletedProcess[str]:
    """Run a test file the way a DAG author would, with only the emulator's pytest plugin."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", script],
        # The option -p loads the plugin even if the package is not installed. The package's entry point must
        # not load the plugin a second time.
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )
