"""Test that the client raises the right exception class for each documented error.

The error message must describe the problem and how to fix it.
"""

from __future__ import annotations

import copy

import pytest

from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    InvalidProperties,
    JobAlreadyRunning,
    LimitReached,
    NotInPlan,
    StitchBadRequest,
    StitchNotFound,
    StitchUnauthorized,
    StitchUnavailable,
    UnknownDestination,
)

from . import samples
from .scripted_server import http_response
from .source_errors import SOURCE_ERRORS, create_source

# The error numbers refer to section 7 in the summary of Stitch's documentation.

BODY_V4 = (
    "POST body may only include a type, a name, a description, map of properties, and boolean for "
    "unmapped sources"
)


def list_destinations(c):
    return c.list_destinations()


def create_destination(c):
    return c.create_destination("postgres", {})


# Each row contains an error number, a call, the response status, the response body, the expected error class,
# and text that the error message must contain.
ERRORS = [
    ("D1", create_destination, 400, "you are at your destination limit", LimitReached, "Delete one"),
    (
        "D1 elsewhere",
        create_destination,
        400,
        b"an account can have at most one destination",
        LimitReached,
        "",
    ),
    (
        "D2",
        lambda c: c.create_destination_v3("redshift", {}),
        400,
        b"body must be a map with type = redshift, postgres, or snowflake. required-keys = type, connection",
        StitchBadRequest,
        "required-keys = type, connection",
    ),
    ("D3", create_destination, 400, BODY_V4, StitchBadRequest, "may only include a type"),
    (
        "D4",
        lambda c: c.update_destination_v3(155901, "redshift", {}),
        400,
        "this API endpoint does not support modifying destination type",
        StitchBadRequest,
        "Create another destination",
    ),
    (
        "D5",
        lambda c: c.update_destination(155901, {}),
        400,
        b"invalid connection id",
        UnknownDestination,
        "no such destination",
    ),
    (
        "D6",
        lambda c: c.delete_destination(155901),
        400,
        "Unable to locate dest (155901) for client (104857) to delete",
        UnknownDestination,
        "155901",
    ),
    (
        "D7",
        list_destinations,
        400,
        "GET may only include the params: source_id and/or destination_id",
        StitchBadRequest,
        "may only include the params",
    ),
    ("D8, D9", lambda c: c.delete_destination(155901), 404, b"", UnknownDestination, "destination 155901"),
    *SOURCE_ERRORS,
    ("X1, extractions", lambda c: c.list_extractions(), 401, b"", StitchUnauthorized, "client id"),
    ("X1, loads", lambda c: c.list_loads(), 401, b"", StitchUnauthorized, "client id"),
    (
        "X1, logs",
        lambda c: c.get_extraction_log(samples.JOB_NAME),
        401,
        b"",
        StitchUnauthorized,
        samples.JOB_NAME,
    ),
    (
        "X2, logs",
        lambda c: c.get_extraction_log(samples.JOB_NAME),
        404,
        b"",
        ExtractionLogNotFound,
        samples.JOB_NAME,
    ),
    ("X2, extractions", lambda c: c.list_extractions(), 404, b"", StitchNotFound, "extractions"),
    (
        "N1",
        lambda c: c.create_custom_email("a@b"),
        400,
        {"error": {"message": {"email_address": "Required. Must be valid email address format."}}},
        StitchBadRequest,
        "email_address: Required.",
    ),
    (
        "N2",
        lambda c: c.create_custom_email("a@b"),
        400,
        {
            "error": {
                "message": "Account not authorized to create additional custom notification email addresses."
            }
        },
        LimitReached,
        "10",
    ),
    (
        "N3",
        lambda c: c.create_custom_email("a@b"),
        400,
        {"error": {"message": "Account not authorized to create custom notification email addresses."}},
        NotInPlan,
        "plan",
    ),
    (
        "N4, with the body of a success",
        lambda c: c.disable_custom_email(22),
        400,
        {"disabled_at": "2026-08-17T00:00:00Z"},
        StitchBadRequest,
        "disabled_at",
    ),
    (
        "N5",
        lambda c: c.enable_custom_email(22),
        404,
        {"status": "NOT FOUND"},
        StitchNotFound,
        "custom e-mail 22",
    ),
    (
        "nothing deleted",
        lambda c: c.delete_custom_email(22),
        200,
        [0],
        StitchNotFound,
        "custom e-mail 22",
    ),
    (
        "H1",
        lambda c: c.create_post_load_hook("https://a.example", 1),
        400,
        {"data": {"message": "Invalid POST body"}, "error": "InvalidBody"},
        StitchBadRequest,
        "Invalid POST body",
    ),
    (
        "H2",
        lambda c: c.create_post_load_hook("https://a.example", 1),
        400,
        {"error": {"message": "Client does not have access to hooks."}},
        NotInPlan,
        "plan",
    ),
    (
        "H3",
        lambda c: c.create_post_load_hook("https://a.example", 1),
        400,
        {"error": {"message": "You have exceeded the limit of [10] hooks."}},
        LimitReached,
        "Delete one",
    ),
    (
        "H4",
        lambda c: c.enable_post_load_hook(8),
        400,
        {"data": {"message": "PUT body must only contain boolean 'enable' key"}, "error": "InvalidBody"},
        StitchBadRequest,
        "boolean 'enable' key",
    ),
    (
        "H5",
        lambda c: c.delete_post_load_hook(8),
        400,
        {"error": "NotFound"},
        StitchNotFound,
        "post-load hook 8",
    ),
    (
        "an unknown type",
        lambda c: c.get_source_type("platform.x"),
        404,
        b"",
        StitchNotFound,
        "source type 'platform.x'",
    ),
    (
        "a destination never checked",
        lambda c: c.get_last_destination_check(155901),
        404,
        b"",
        UnknownDestination,
        "connection check of destination 155901",
    ),
]


@pytest.mark.parametrize(
    ("call", "status", "body", "error_class", "message"),
    [pytest.param(*each[1:], id=each[0]) for each in ERRORS],
)
def test_documented_error_raises_its_class(stitch, client, call, status, body, error_class, message):
    stitch.script(http_response(body, status))

    with pytest.raises(error_class) as caught:
        call(client)

    assert type(caught.value) is error_class
    assert message in str(caught.value)
    assert stitch.url in str(caught.value), "the message contains the request"
    assert not caught.value.retryable or error_class in (JobAlreadyRunning, ExtractionLogNotFound)
    if "/v4/sources/310442" in str(caught.value):
        assert caught.value.source_id == 310442


def test_invalid_properties_error_lists_their_names(stitch, client):
    stitch.script(http_response(next(each[3] for each in ERRORS if each[0] == "S8"), 400))

    with pytest.raises(InvalidProperties) as caught:
        create_source(client)

    assert caught.value.bad_properties == ("frequency_in_minutes", "start_date")
    assert copy.copy(caught.value).bad_properties == caught.value.bad_properties


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="no data"),
        pytest.param("text", id="text"),
        pytest.param({"bad_properties": {"a": 1}}, id="an object instead of the names"),
        pytest.param({"bad_properties": ["a", 1, None], "report_card": []}, id="no report card"),
        pytest.param({"bad_properties": ["a"], "report_card": {"type": 5}}, id="an invalid report card"),
    ],
)
def test_invalid_properties_error_accepts_other_structures(stitch, client, data):
    stitch.script(http_response({"error": "InvalidProperties", "data": data}, 400))

    with pytest.raises(InvalidProperties):
        create_source(client)


def test_invalid_properties_error_accepts_plain_text(stitch, client):
    stitch.script(http_response(b"InvalidProperties", 400))

    with pytest.raises(InvalidProperties):
        create_source(client)


# Retries.


@pytest.mark.parametrize(
    ("call", "attempts"),
    [
        pytest.param(create_source, 1, id="create"),
        pytest.param(lambda c: c.create_import_token(1), 1, id="a token"),
        pytest.param(lambda c: c.delete_source(1), 1, id="delete"),
        pytest.param(lambda c: c.pause_source(1), 2, id="pause"),
        pytest.param(lambda c: c.list_source_types(), 2, id="read"),
    ],
)
def test_only_reads_and_updates_are_retried(stitch, client_for, fake_clock, call, attempts):
    stitch.script(http_response(b"", 502))
    client = client_for(retry_for=1, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)

    with pytest.raises(StitchUnavailable):
        call(client)

    assert len(stitch.requests) == attempts
