"""Test that the package check reports every part that is missing in a built package."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tools import package_check

if TYPE_CHECKING:
    from pathlib import Path

METADATA = "airflow_provider_stitch-0.1.0.dist-info/METADATA"
LINKS = "".join(f"Project-URL: {name}, https://stitch.example\n" for name in package_check.LINKS)
EXAMPLE = "airflow_provider_stitch/example_dags/stitch_one_source.py"


def _build(folder: Path, *, lacking: str = "", added: str = "", links: str = "") -> None:
    """Write a wheel and a source archive that contain empty files."""
    with zipfile.ZipFile(folder / "package.whl", "w") as wheel:
        for name in sorted(package_check.expected_in_wheel() - {lacking}):
            wheel.writestr(name, "")
        wheel.writestr(METADATA, f"Name: airflow-provider-stitch\n{links}\n")
        if added:
            wheel.writestr(added, "")
    with tarfile.open(folder / "package.tar.gz", "w:gz") as archive:
        for name in sorted(package_check.expected_in_archive() - {lacking}):
            archive.addfile(tarfile.TarInfo(f"package-0.1.0/{name}"), io.BytesIO())


@pytest.mark.parametrize(
    ("package", "problem"),
    [
        pytest.param({}, None, id="complete"),
        pytest.param({"lacking": EXAMPLE}, EXAMPLE, id="without an example"),
        pytest.param({"lacking": "LICENSE"}, "LICENSE", id="without a license"),
        pytest.param({"added": "tests/conftest.py"}, "tests/conftest.py", id="with another file"),
    ],
)
def test_incomplete_package_is_found(package: dict[str, str], problem: str | None, tmp_path: Path) -> None:
    _build(tmp_path, **package)

    found = list(package_check.problems(tmp_path, release=False))

    assert len(found) == (0 if problem is None else 1)
    assert problem is None or problem in found[0]


def test_release_needs_the_addresses_of_the_project(tmp_path: Path) -> None:
    _build(tmp_path)
    assert len(list(package_check.problems(tmp_path, release=True))) == len(package_check.LINKS)

    _build(tmp_path, links=LINKS)
    assert list(package_check.problems(tmp_path, release=True)) == []


def test_folder_without_a_package_is_reported(tmp_path: Path) -> None:
    assert package_check.main([str(tmp_path)]) == 1
