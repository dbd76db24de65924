"""Capabilities of the triggerer in the installed version of Airflow.

Airflow does not report these capabilities, so this module derives them from Airflow's version number. Sensors
and triggers import this module. This module is part of the `triggers` package, because triggers must not
import sensors.

- Airflow 2.11 can start a task in the triggerer, but does not render templates there.
- Airflow 3.0 to 3.2 cannot start a task in the triggerer.
- Airflow 3.3 and later can start a task in the triggerer and render its templates there.
- A trigger can end a task in all versions. Airflow 3.3.1 and later retry a task that failed in the triggerer.
  In earlier versions, a failure in the triggerer is final.
- In Airflow 3.3 and later, triggers can share a stream of events, and an asset has a state store.
"""

from __future__ import annotations

import re

from airflow import __version__

RELEASE = tuple(int(number) for number in re.findall(r"\d+", __version__)[:3])

RENDERS_IN_TRIGGERER = RELEASE >= (3, 3)
STARTS_IN_TRIGGERER = RELEASE < (3,) or RENDERS_IN_TRIGGERER
RETRIES_FROM_TRIGGERER = RELEASE >= (3, 3, 1)
HAS_SHARED_STREAMS = RELEASE >= (3, 3)
