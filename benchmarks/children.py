"""Run this folder's scripts in processes of their own: one that finds something out, or one that serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def run_child(script: str, argument: dict[str, Any], *options: str, **environment: str) -> dict[str, Any]:
    """Return the JSON in the last line that the script prints; its argument goes to its standard input.

    :param options: of Python itself.

    :raises subprocess.CalledProcessError: it failed; its own words are on standard error.
    """
    done = subprocess.run(
        _command(script, *options),
        input=json.dumps(argument),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


class Servant:
    """A script that answers, until it is left: each line of JSON that it reads with one that it prints.

    :param log: a file for whatever else it has to say.
    :param environment: all of its environment; None is that of this process.
    """

    def __init__(self, script: str, log: Path, environment: dict[str, str] | None = None) -> None:
        self._script = script
        self._log = log
        self._environment = environment

    def __enter__(self) -> Servant:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _command(self._script),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for who started it
            )
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its input, which it takes as the end, and waits for it
            pass

    def ask(self, do: str, **arguments: Any) -> Any:
        """Return what the script's function `do` returns.

        :raises RuntimeError: the script has failed; with the end of what it said.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:  # they are pipes
            raise RuntimeError(f"{self._script} does not run.")
        with suppress(BrokenPipeError):
            stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            said = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
            raise RuntimeError("\n".join([f"{self._script} has failed at {do!r}:", *said]))
        return json.loads(line)


def _command(script: str, *options: str) -> list[str]:
    # Isolated: neither this folder nor the user's settings of Python decide what is imported.
    return [sys.executable, "-I", *options, str(Path(__file__).with_name(script))]
