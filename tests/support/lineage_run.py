"""Run the DAG in `lineage_dag.py`.

This program needs its own process, because OpenLineage's listener starts only once. Environment variables
define the connections, OpenLineage's transport, and the account names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.dag_runs import DagRunner, load_dag


def main() -> None:
    """Run the DAG, and print the states of all tasks as JSON."""
    dag = load_dag(Path(__file__).with_name("lineage_dag.py"))
    states = DagRunner(lambda: "").run(dag).states
    sys.stdout.write(f"\nSTATES {json.dumps(states)}\n")


if __name__ == "__main__":
    main()
