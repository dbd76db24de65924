"""The pytest fixture ``stitch_emulator``, which provides a new local Stitch for each test.

pytest loads this module in every test run of the environment, so the module imports only pytest. The fixture
imports the emulator when a test first uses the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator import StitchEmulator

#: Number of virtual seconds per real second. At this speed, an extraction of 150 s and its loads take half a
#: real second.
SPEED = 600.0


@pytest.fixture
def stitch_emulator() -> Iterator[StitchEmulator]:
    """Return a local Stitch with one empty account. Virtual time runs 600 times as fast as real time."""
    from airflow_provider_stitch.emulator import StitchEmulator  # noqa: PLC0415 - see the module docstring

    with StitchEmulator(speed=SPEED) as stitch:
        yield stitch
