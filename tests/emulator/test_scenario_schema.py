"""Test the schema for scenario files, and the command that starts an emulator from a scenario file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from airflow_provider_stitch.emulator import Scenario, ScenarioError, load_scenario
from airflow_provider_stitch.emulator.scenario_schema import keys_of, scenario_classes, scenario_schema
from tools.doc_blocks import ROOT

from .scenario_files import FULL, write


def test_schema_accepts_the_same_files_as_the_reader(tmp_path):
    schema = scenario_schema(Scenario)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)

    def plain(text: str) -> Any:
        import yaml

        return json.loads(json.dumps(yaml.safe_load(text), default=str))

    assert list(validator.iter_errors(plain(FULL))) == []
    for text in ("sped: 5", "sources: [{name: a}]", "quirks: {stopped_jobs: killed}", "speed: -1"):
        assert not validator.is_valid(plain(text)), text
        with pytest.raises(ScenarioError):
            load_scenario(write(tmp_path, text))


def test_every_key_is_documented():
    missing = [
        f"{kind.__name__}.{key.name}"
        for kind in scenario_classes(Scenario).values()
        for key in keys_of(kind)
        if not key.meaning
    ]
    page = (ROOT / "docs" / "reference" / "scenario.md").read_text(encoding="utf-8")

    assert missing == []
    assert set(re.findall(r"stitch-scenario-keys:: (\w+)", page)) == set(scenario_classes(Scenario))


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from airflow_provider_stitch.emulator.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_command_prints_the_schema_and_the_problems_of_a_file(tmp_path):
    printed = run_command("--scenario-schema")
    refused = run_command("--scenario", str(write(tmp_path, "sped: 5")))

    assert json.loads(printed.stdout) == json.loads(json.dumps(scenario_schema(Scenario)))
    assert refused.returncode == 1
    assert "sped: is not a known key" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_command_serves_the_scenario_and_its_options_take_precedence(tmp_path):
    path = write(tmp_path, "access_token: ac_file\nclient_id: 9\nsources: [{name: a, streams: {b: 1}}]")
    code = "import sys; from airflow_provider_stitch.emulator.cli import main; sys.exit(main())"
    arguments = ["--scenario", str(path), "--client-id", "7"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            printed = json.loads(process.stdout.readline())
        finally:
            process.terminate()

    assert (printed["access_token"], printed["client_id"]) == ("ac_file", 7)
    assert [(source["name"], source["streams"]) for source in printed["sources"]] == [("a", ["b"])]
    assert json.loads(printed["connection"])["extra"]["requests_per_10_minutes"] == 30 * 60
