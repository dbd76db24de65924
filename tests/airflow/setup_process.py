"""One task of a setup operator in a process of its own: `python -m tests.airflow.setup_process KIND RUN`.

It prints "ready", waits for a line, runs the task, and prints its result as JSON.
"""

from __future__ import annotations

import json
import sys

from tests.airflow.test_setup_kills import Instance, destination, execute, source

MAKERS = {"destination": destination, "source": source}

if __name__ == "__main__":
    operator = MAKERS[sys.argv[1]]()
    operator.hook.client.list_sources()  # imports what the task needs
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(json.dumps(execute(operator, Instance(int(sys.argv[2])))))
