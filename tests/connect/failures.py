"""A function that returns the error that a client method raises."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.connect.errors import (
    StitchError,
)

from .conftest import TOKEN


def failure_of(client, call="list_sources"):
    with pytest.raises(StitchError) as caught:
        getattr(client, call)()
    error = caught.value
    assert TOKEN not in str(error)
    # Exceptions from HTTP libraries refer to the request, which contains the token.
    cause: BaseException | None = error
    while cause is not None:
        assert type(cause).__module__.partition(".")[0] not in ("requests", "urllib3")
        cause = cause.__context__
    return error
