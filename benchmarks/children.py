"""Run one of this folder's scripts in a process of its own, and read what it found out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_child(script: str, argument: dict[str, Any], *options: str, **environment: str) -> dict[str, Any]:
    """Return the JSON in the last line that the script prints; its argument goes to its standard input.

    :param options: of Python itself.

    :raises subprocess.CalledProcessError: it failed; its own words are on standard error.
    """
    # Isolated: neither this folder nor the user's settings of Python decide what is imported.
    command = [sys.executable, "-I", *options, str(Path(__file__).with_name(script))]
    done = subprocess.run(
        command,
        input=json.dumps(argument),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
