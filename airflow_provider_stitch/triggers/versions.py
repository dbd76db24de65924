"""Capabilities of the triggerer in the installed version of Airflow.

No setting reports this, so it follows from the version. Triggers need it as well as sensors, so this module
lies in the lower of both packages.

- Airflow 2.11 starts a task in the triggerer, but does not render templates there.
- Airflow 3.0 to 3.2 start no task in the triggerer.
- Airflow 3.3 and later start a task in the triggerer and render its templates.
- In all versions a trigger can end a task. Airflow retries a task that failed there since 3.3.1; in earlier
  versions the failure is final.
- Airflow 3.3 and later share a stream of events between triggers, and store the state of an asset.
"""

from __future__ import annotations

import re

from airflow import __version__

RELEASE = tuple(int(number) for number in re.findall(r"\d+", __version__)[:3])

RENDERS_IN_TRIGGERER = RELEASE >= (3, 3)
STARTS_IN_TRIGGERER = RELEASE < (3,) or RENDERS_IN_TRIGGERER
RETRIES_FROM_TRIGGERER = RELEASE >= (3, 3, 1)
HAS_SHARED_STREAMS = RELEASE >= (3, 3)
