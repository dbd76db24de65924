"""Functions that run worker scripts in separate processes, for a single result or for many calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def run_worker(script: Path, argument: dict[str, Any], *options: str, **environment: str) -> dict[str, Any]:
    """Run a script and return the JSON in the last line of its output.

    :param argument: a value that the script receives as JSON on standard input.
    :param options: options of the Python interpreter.
    :param environment: additional environment variables.
    :raises subprocess.CalledProcessError: if the script fails. The script writes its error message to
        standard error.
    """
    completed = subprocess.run(
        _command(script, *options),
        input=json.dumps(argument),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        check=True,
    )
    result: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    return result


class WorkerProcess:
    """A script that reads calls as lines of JSON and writes each result as a line of JSON.

    On exit, this context manager stops the script's process.

    :param log: the file that receives the script's standard error.
    :param environment: the complete environment of the script. If None, the script inherits the environment
        of this process.
    """

    def __init__(self, script: Path, log: Path, environment: dict[str, str] | None = None) -> None:
        self._script = script
        self._log = log
        self._environment = environment

    def __enter__(self) -> WorkerProcess:  # noqa: PYI034 - Python 3.10 has no typing.Self
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _command(self._script),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
                start_new_session=True,  # Ctrl-C interrupts only the parent, which then stops this process
            )
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes standard input, which ends the script, and waits for its exit
            pass

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function of the script and return its result.

        :raises RuntimeError: if the script has failed. The message contains the end of the script's log.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:  # never true, because both streams are pipes
            raise RuntimeError(f"{self._script.name} is not running.")
        with suppress(BrokenPipeError):
            stdin.write(json.dumps({"function": function, **arguments}) + "\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            log_end = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
            raise RuntimeError("\n".join([f"{self._script.name} failed in {function!r}:", *log_end]))
        return json.loads(line)


def _command(script: Path, *options: str) -> list[str]:
    # In isolated mode, this folder and the user's settings for Python do not affect imports.
    return [sys.executable, "-I", *options, str(script)]
