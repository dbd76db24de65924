"""Test the provider metadata that Airflow reads from this package."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_stitch import __version__, get_provider_info
from airflow_provider_stitch.hooks.stitch import StitchHook

AIRFLOW = Path(airflow.__file__).parent
(CONNECTION_TYPE,) = get_provider_info()["connection-types"]


def test_provider_info_matches_airflows_schema():
    for schema in AIRFLOW.glob("provider_info.schema.json"):
        jsonschema.validate(get_provider_info(), json.loads(schema.read_text()))


def test_connection_form_matches_airflows_schema():
    schema = json.loads((AIRFLOW / "customized_form_field_behaviours.schema.json").read_text())

    jsonschema.validate(StitchHook.get_ui_field_behaviour(), schema)


def test_provider_info_lists_the_guides_for_users():
    root = Path(__file__).parents[2]
    index = (root / "docs" / "index.md").read_text()
    guides = re.findall(r"^how-to/[\w-]+$", index, re.MULTILINE)
    for_contributors = ("contribute", "add-endpoint", "add-airflow-version", "release")
    expected = [f"/docs/{guide}.md" for guide in guides if not guide.endswith(for_contributors)]

    (integration,) = get_provider_info()["integrations"]

    assert integration["how-to-guide"] == expected
    assert all((root / guide.lstrip("/")).exists() for guide in expected)


def test_entry_point_returns_the_provider_info():
    (entry,) = (
        entry
        for entry in importlib.metadata.entry_points(group="apache_airflow_provider")
        if entry.value == "airflow_provider_stitch:get_provider_info"
    )

    assert entry.load()() == get_provider_info()


def test_all_modules_and_classes_in_the_provider_info_exist():
    info = get_provider_info()
    names = [*info["extra-links"], CONNECTION_TYPE["hook-class-name"]]
    names += [entry["handler"] for kind in ("asset-uris", "dataset-uris") for entry in info[kind]]
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)

    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def test_provider_info_has_the_version_of_the_package():
    assert (
        get_provider_info()["versions"]
        == [__version__]
        == [importlib.metadata.version("airflow-provider-stitch")]
    )


def test_connection_form_has_the_fields_and_labels():
    """Airflow 3 reads the connection form from the provider info, and Airflow 2 from the hook."""
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    widgets = {
        name.removeprefix("extra__stitch__"): widget
        for name, widget in manager.connection_form_widgets.items()
        if name.startswith("extra__stitch__")
    }
    behaviour = manager.field_behaviours["stitch"]

    assert {name: _label(widget.field) for name, widget in widgets.items()} == {
        "partner_id": "Partner ID",
        "partner_secret": "Partner secret",
        "request_timeout": "Request timeout (s)",
        "requests_per_10_minutes": "Status requests per 10 minutes",
        "redis_conn_id": "Redis connection",
        "webhook_secret": "Webhook secret",
    }
    # Airflow masks the values of these fields. The standard field `password` is masked for every connection
    # type.
    assert {name for name, widget in widgets.items() if widget.is_sensitive} == {
        "partner_id",
        "partner_secret",
        "webhook_secret",
    }
    assert behaviour["relabeling"] == {
        "password": "API access token",
        "login": "Client ID (optional)",
        "host": "API base URL (optional)",
    }
    assert behaviour["hidden_fields"] == ["schema", "port", "extra"]


def _label(field: Any) -> str:
    label: str = (
        field["schema"]["title"] if isinstance(field, dict) else field.args[0]
    )  # a field is a dict in Airflow 3, and a form field in Airflow 2
    return label


#: A script that runs one Airflow command per input line. All commands run in one process, because importing
#: Airflow takes seconds.
COMMANDS = """
import sys
from airflow.__main__ import main

for line in sys.stdin:
    sys.argv = ["airflow", *line.split()]
    main()
    print(f"end of {line}")
"""


@pytest.fixture(scope="module")
def outputs(airflow_database: None) -> dict[str, str]:
    """Return the output of each `airflow providers` command, by command."""
    commands = [f"providers {each} --output json" for each in ("list", "hooks", "links")]
    run = subprocess.run(  # noqa: PLW1510 - the assertion below prints the output of the commands
        [sys.executable, "-c", COMMANDS],
        input="".join(f"{command}\n" for command in commands),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    outputs, rest = {}, run.stdout
    for command in commands:
        outputs[command.split()[1]], _, rest = rest.partition(f"end of {command}\n")
    return outputs


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("list", ["airflow-provider-stitch", "Stitch", __version__]),
        ("hooks", ["stitch", "StitchHook"]),
        ("links", ["StitchSourceLink"]),
    ],
)
def test_airflow_command_lists_the_provider(
    outputs: dict[str, str], command: str, expected: list[str]
) -> None:
    for word in expected:
        assert word in outputs[command]
