"""The error responses of the API."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An error response of Stitch. If ``body`` is None, the body of the response is empty."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def unauthorized() -> ApiError:
    """Return a 401 error.

    Stitch does not document the body of this error. The documented table of errors contains only "None".
    """
    return ApiError(401, None)


def not_found() -> ApiError:
    """Return a 404 error, whose body Stitch does not document."""
    return ApiError(404, None)


def coded_error(code: str, message: str, **data: Any) -> ApiError:
    """Return a 400 error with a code and a message, as documented for sources and for some hook errors."""
    return ApiError(400, {"error": code, "data": {"message": message, **data}})
