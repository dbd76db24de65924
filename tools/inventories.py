"""Write docs/inventories/, which contains the names in other projects' documentation that our pages link to.

Sphinx reads an inventory to turn names into links. The published inventories of Python and Airflow are long,
and a build of our documentation must not send requests. This module therefore contains all required names. If
the build reports a missing reference, add its name to this module and run

    python -m tools.inventories
"""

from __future__ import annotations

import zlib
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "inventories"

# Role, page and anchor of each name in an inventory. "$" stands for the name.
PYTHON = {
    "None": ("py:data", "library/constants.html#None"),
    "Exception": ("py:exception", "library/exceptions.html#$"),
    "ValueError": ("py:exception", "library/exceptions.html#$"),
    "bool": ("py:class", "library/functions.html#$"),
    "bytes": ("py:class", "library/stdtypes.html#$"),
    "dict": ("py:class", "library/stdtypes.html#$"),
    "float": ("py:class", "library/functions.html#$"),
    "int": ("py:class", "library/functions.html#$"),
    "list": ("py:class", "library/stdtypes.html#$"),
    "object": ("py:class", "library/functions.html#$"),
    "str": ("py:class", "library/stdtypes.html#$"),
    "tuple": ("py:class", "library/stdtypes.html#$"),
    "type": ("py:class", "library/functions.html#$"),
    "collections.abc.Callable": ("py:class", "library/collections.abc.html#$"),
    "collections.abc.Mapping": ("py:class", "library/collections.abc.html#$"),
    "collections.abc.Sequence": ("py:class", "library/collections.abc.html#$"),
    "datetime.datetime": ("py:class", "library/datetime.html#$"),
    "datetime.timedelta": ("py:class", "library/datetime.html#$"),
    "pathlib.Path": ("py:class", "library/pathlib.html#$"),
    "typing.Any": ("py:data", "library/typing.html#$"),
    "typing.Literal": ("py:data", "library/typing.html#$"),
    "uuid.UUID": ("py:class", "library/uuid.html#$"),
}
TASK_SDK = {
    "airflow.sdk.BaseHook": ("py:class", "api.html#$"),
    "airflow.sdk.BaseOperator": ("py:class", "api.html#$"),
    "airflow.sdk.BaseSensorOperator": ("py:class", "api.html#$"),
    "airflow.sdk.DAG": ("py:class", "api.html#$"),
}
AIRFLOW = {
    "authoring-and-scheduling/deferring": ("std:doc", "authoring-and-scheduling/deferring.html"),
    "howto/connection": ("std:doc", "howto/connection.html"),
    "administration-and-deployment/logging-monitoring/callbacks": (
        "std:doc",
        "administration-and-deployment/logging-monitoring/callbacks.html",
    ),
}
INVENTORIES = {"python": PYTHON, "task-sdk": TASK_SDK, "airflow": AIRFLOW}


def inventory(project: str, names: dict[str, tuple[str, str]]) -> bytes:
    """Return an inventory in version 2 of Sphinx's format: four lines of text and then compressed lines."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    # Each line contains the name, role, priority (1 by default, -1 to exclude the name from the search),
    # place, and link text ("-" stands for the name).
    lines = [
        f"{name} {role} {-1 if role == 'std:doc' else 1} {place} -\n"
        for name, (role, place) in sorted(names.items())
    ]
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


def main() -> None:
    """Write every inventory."""
    FOLDER.mkdir(exist_ok=True)
    for project, names in INVENTORIES.items():
        (FOLDER / f"{project}.inv").write_bytes(inventory(project, names))


if __name__ == "__main__":
    main()
