"""The pytest fixture ``stitch_emulator``: a fresh local Stitch for each test.

pytest loads this module in every run of every project in the environment, so it imports nothing but pytest;
what the emulator needs is imported by the first test that uses the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator import StitchEmulator

#: Virtual seconds in a real second: an extraction of 150 s and its loads pass in half a second.
SPEED = 600.0


@pytest.fixture
def stitch_emulator() -> Iterator[StitchEmulator]:
    """A local Stitch with one empty account, whose time runs 600 times as fast as ours."""
    from airflow_provider_stitch.emulator import StitchEmulator  # noqa: PLC0415 - see above

    with StitchEmulator(speed=SPEED) as stitch:
        yield stitch
