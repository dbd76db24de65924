"""What the Airflow that runs here can do in its triggerer. No setting tells, so the version does.

- Airflow 2.11 starts a task there, but renders no templates: its arguments are as the DAG file has them.
- Airflow 3.0 tells a trigger nothing of the run, and 3.1 and 3.2 start no task there.
- Airflow 3.3 and later start one there, with templates rendered.
- A trigger can end a task everywhere. A failure is retried since 3.3.1; before, the task had failed for good.
"""

from __future__ import annotations

import re

from airflow import __version__

RELEASE = tuple(int(number) for number in re.findall(r"\d+", __version__)[:3])

RENDERS_IN_TRIGGERER = RELEASE >= (3, 3)
STARTS_IN_TRIGGERER = RELEASE < (3,) or RENDERS_IN_TRIGGERER
RETRIES_FROM_TRIGGERER = RELEASE >= (3, 3, 1)
