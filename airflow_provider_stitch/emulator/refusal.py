"""How state says no: the answer that Stitch gives."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):  # noqa: N818 - not an error of the emulator but an answer that Stitch gives
    """Stitch refuses. ``status`` and ``body`` are its answer; a body of None is no body at all."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def unauthorized() -> Refusal:
    """401. Its body is not documented ("None" where it is listed)."""
    return Refusal(401, None)


def not_found() -> Refusal:
    """404, likewise."""
    return Refusal(404, None)


def coded(code: str, message: str, **more: Any) -> Refusal:
    """A 400 as sources and some hooks have it: a code, and a message beside it."""
    return Refusal(400, {"error": code, "data": {"message": message, **more}})
