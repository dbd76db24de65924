"""An extraction log, and a response that redirects the client to the URL of a log."""

from __future__ import annotations

from .scripted_server import http_response

LOG = (
    b"2026-08-17 06:04:51,012Z   main - INFO "
    b"Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.\n"
)


def redirect_to(url):
    return http_response(b"", 302, Location=url)
