"""Check the built wheel and source archive in dist/ (`make package`).

`python -m tools.package_check --release` also checks the URLs of the project, which only a release needs.
"""

from __future__ import annotations

import argparse
import email
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_stitch"
LINKS = ("Documentation", "Source", "Changelog", "Issues")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the problems of the files in dist/. Return 0 if there are no problems."""
    parser = argparse.ArgumentParser(prog="python -m tools.package_check", description=__doc__)
    parser.add_argument("--release", action="store_true", help="also require [project.urls]")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="default: dist/")
    options = parser.parse_args(arguments)
    found = list(problems(options.folder, release=options.release))
    for problem in found:
        print(problem)
    return 1 if found else 0


def problems(folder: Path, *, release: bool) -> Iterator[str]:
    """Yield a message for each problem with the wheel and the source archive in a folder."""
    wheels, archives = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(archives) != 1:
        yield f"{folder} must contain one wheel and one source archive. Build them with make package."
        return
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = wheel.read(metadata).decode()
    yield from _missing(wheels[0].name, names, expected_in_wheel())
    others = [name for name in names if not name.startswith((f"{PACKAGE}/", f"{PACKAGE}-"))]
    if others:
        yield f"{wheels[0].name} installs files outside of the package: {', '.join(others)}."
    with tarfile.open(archives[0]) as archive:
        members = [name.partition("/")[2] for name in archive.getnames()]
    yield from _missing(archives[0].name, members, expected_in_archive())
    if release:
        links = email.message_from_string(text).get_all("Project-URL") or []
        known = {link.partition(",")[0] for link in links}
        yield from (f"[project.urls] of pyproject.toml lacks {name}." for name in LINKS if name not in known)


def expected_in_wheel() -> set[str]:
    """Return the files that a wheel must contain, which are the package and the example DAGs."""
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*.py")}
    examples = {f"{PACKAGE}/example_dags/{path.name}" for path in (ROOT / "example_dags").glob("*.py")}
    return modules | examples | {f"{PACKAGE}/py.typed"}


def expected_in_archive() -> set[str]:
    """Return the files that are required to build and test the source archive."""
    examples = {f"example_dags/{path.name}" for path in (ROOT / "example_dags").glob("*.py")}
    return examples | {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", f"{PACKAGE}/__init__.py"}


def _missing(name: str, present: Iterable[str], expected: set[str]) -> Iterator[str]:
    missing = sorted(expected - set(present))
    if missing:
        yield f"{name} lacks {', '.join(missing)}."


if __name__ == "__main__":
    sys.exit(main())
