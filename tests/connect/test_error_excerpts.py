"""Test how error messages quote excerpts from responses."""

from __future__ import annotations

import pytest

from tests.connect.failures import failure_of

from .scripted_server import http_response

# The error bodies cover all documented structures.


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            {
                "code": "ExistingUser",
                "message": "This email address is already associated with an active user.",
            },
            "ExistingUser: This email address is already",
            id="A1",
        ),
        pytest.param(
            {"code": "BadRequest", "message": "Invalid form data.", "errors": {}},
            "BadRequest: Invalid form",
            id="A2",
        ),
        pytest.param(
            {"code": "BadRequest", "message": "Invalid form data.", "errors": {"partner_id": "required"}},
            "BadRequest: Invalid form data.: partner_id: required",
            id="A3, A4",
        ),
        pytest.param(
            "you are at your destination limit", "message: you are at your destination limit", id="D1"
        ),
        pytest.param(
            b"Unable to locate dest (155901) for client (104857) to delete",
            "message: Unable to locate dest",
            id="D6 as plain text",
        ),
        pytest.param(
            {"error": "InvalidName", "data": {"message": "non-unique name (github)"}},
            "message: InvalidName: non-unique name (github)",
            id="S1 to S7",
        ),
        pytest.param(
            {
                "error": "InvalidProperties",
                "data": {
                    "message": "properties do not match schema",
                    "bad_properties": ["start_date", "host"],
                    "report_card": {"type": "platform.github"},
                },
            },
            "InvalidProperties: properties do not match schema: start_date, host",
            id="S8",
        ),
        pytest.param(
            {"error": "InvalidId", "data": {"message": "source not found (1)"}},
            "message: InvalidId: source not found (1)",
            id="S13",
        ),
        pytest.param("invalid stream-id: 5", "message: invalid stream-id: 5", id="T1, T2"),
        pytest.param(
            {"invalid_fields": "invalid tap-stream-ids:  [nil]"},
            "invalid_fields: invalid tap-stream-ids:  [nil]",
            id="T3",
        ),
        pytest.param(
            {"error": {"type": "invalid_source", "message": "Integration is deleted."}},
            "message: invalid_source: Integration is deleted.",
            id="R3",
        ),
        pytest.param(
            {"error": {"message": {"email_address": "Required. Must be valid email address format."}}},
            "message: email_address: Required. Must be",
            id="N1",
        ),
        pytest.param({"disabled_at": "never"}, 'message: {"disabled_at":"never"}', id="N4"),
        pytest.param({"status": "NOT FOUND"}, "message: NOT FOUND", id="N5"),
        pytest.param(
            {"data": {"message": "Invalid POST body"}, "error": "InvalidBody"},
            "InvalidBody: Invalid POST body",
            id="H1",
        ),
        pytest.param(
            {"error": {"message": "Client does not have access to hooks."}}, "does not have access", id="H2"
        ),
        pytest.param({"error": "NotFound"}, "message: NotFound", id="H5"),
        pytest.param({"message": "Forbidden"}, "message: Forbidden", id="an error of a gateway"),
        pytest.param([1, 2], "message: 1, 2", id="an array"),
        pytest.param(7, "message: 7", id="a number"),
        pytest.param("a\nb\x1b[31m", "message: a b [31m", id="control characters"),
        pytest.param(b"", "message: none.", id="None"),
        pytest.param({"error": None, "data": None}, 'message: {"error":null,"data":null}', id="nulls"),
    ],
)
def test_error_body_is_shown_on_one_line(stitch, client, body, message):
    stitch.script(http_response(body, 400))

    message = str(failure_of(client, "list_destinations"))

    assert message in message
    assert "\n" not in message
