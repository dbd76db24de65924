"""In a fresh process: what importing some modules costs on top of what a DAG file imports anyway."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

task: dict[str, Any] = json.load(sys.stdin)

from airflow.sdk import DAG  # noqa: E402, F401 - Airflow imports it when it is asked for

if not task["compiled"]:  # From here on no module is found compiled, nor kept.
    sys.pycache_prefix, sys.dont_write_bytecode = task["empty_folder"], True
before = set(sys.modules)
began = time.process_time()
for name in task["modules"]:
    importlib.import_module(name)
seconds = time.process_time() - began
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
