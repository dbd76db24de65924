"""Run the DAG of `lineage_dag.py` in a separate process, because OpenLineage's listener starts only once.

The environment contains the connections, the transport of OpenLineage, and the names of the accounts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.dag_runs import DagRunner, load_dag


def main() -> None:
    """Run the DAG, and print the state of each task as JSON."""
    dag = load_dag(Path(__file__).with_name("lineage_dag.py"))
    states = DagRunner(lambda: "").run(dag).states
    sys.stdout.write(f"\nSTATES {json.dumps(states)}\n")


if __name__ == "__main__":
    main()
