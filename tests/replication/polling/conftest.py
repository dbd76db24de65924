"""A fixture for an account that the tests poll in virtual time."""

from __future__ import annotations

import pytest

from tests.support.polled_account import PolledAccount


@pytest.fixture
def account():
    return PolledAccount()
