"""Responses that redirect a request to an extraction log."""

from __future__ import annotations

from .scripted_server import http_response

LOG = (
    b"2026-08-17 06:04:51,012Z   main - INFO "
    b"Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.\n"
)


def redirect_to(url):
    return http_response(b"", 302, Location=url)
