"""Measure the import of modules in a new process, after the imports that every DAG file needs."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

task: dict[str, Any] = json.load(sys.stdin)

from airflow.sdk import DAG  # noqa: E402, F401 - airflow.sdk imports a name when it is first used

if not task["cached"]:  # prevent Python from reading or writing cached bytecode
    sys.pycache_prefix, sys.dont_write_bytecode = task["empty_folder"], True
before = set(sys.modules)
started_at = time.process_time()
for name in task["modules"]:
    importlib.import_module(name)
seconds = time.process_time() - started_at
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
