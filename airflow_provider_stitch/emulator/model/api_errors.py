"""The error responses of the API."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An error response of Stitch, not a failure of the emulator. A body of None is an empty body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def unauthorized() -> ApiError:
    """Return a 401. Its body is not documented (the table of errors lists "None")."""
    return ApiError(401, None)


def not_found() -> ApiError:
    """Return a 404. Its body is not documented either."""
    return ApiError(404, None)


def coded_error(code: str, message: str, **data: Any) -> ApiError:
    """Return a 400 with an error code and a message, the form used by sources and some hook errors."""
    return ApiError(400, {"error": code, "data": {"message": message, **data}})
