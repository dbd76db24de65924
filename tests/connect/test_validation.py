"""Test that the client validates arguments before it sends a request.

The validation must not be stricter than Stitch's documentation.
"""

from __future__ import annotations

import math

import pytest

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.connect.objects import StreamUpdate
from airflow_provider_stitch.connect.partner import StitchPartner

from . import samples
from .scripted_server import http_response

ACCOUNT = {
    "company": "Acme",
    "email": "ada@acme.example",
    "first_name": "Ada",
    "last_name": "Example",
    "region": "us-east-1",
}


def source_with(**properties):
    return lambda c: c.create_source("platform.github", "GitHub", properties=properties)


def update(*updates):
    return lambda c: c.update_streams(310442, list(updates))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda c: c.get_source(0), "source id must be a positive", id="an id of 0"),
        pytest.param(lambda c: c.delete_source(" "), "positive integer, or a name", id="a blank name"),
        pytest.param(lambda c: c.pause_source(True), "positive integer", id="a boolean id"),
        pytest.param(lambda c: c.delete_destination(-1), "A destination id", id="a negative id"),
        pytest.param(lambda c: c.revoke_import_token(1, None), "A token id", id="no token"),
        pytest.param(lambda c: c.get_stream_schema(1, 1.5), "A stream id", id="a fractional stream id"),
        pytest.param(lambda c: c.enable_custom_email(1.5), "custom e-mail id", id="a fractional id"),
        pytest.param(lambda c: c.delete_post_load_hook([]), "hook id", id="a list instead of an id"),
        pytest.param(
            lambda c: c.get_last_destination_check(0), "destination id", id="a connection check of id 0"
        ),
        pytest.param(lambda c: c.list_destinations(source_id=0), "source id", id="an invalid filter"),
        pytest.param(lambda c: c.get_source_type(""), "source_type", id="no type"),
        pytest.param(lambda c: c.get_destination_type(None), "destination_type", id="None as the type"),
        pytest.param(lambda c: c.create_source("", "GitHub"), "source_type", id="a source without a type"),
        pytest.param(
            lambda c: c.create_source("platform.github", "####"),
            "display_name",
            id="no valid character in the name",
        ),
        pytest.param(
            lambda c: c.create_source("platform.github", 5), "display_name", id="a number as the name"
        ),
        pytest.param(
            lambda c: c.create_source("import_api", "a", destination_id=1.0),
            "destination",
            id="a fractional destination id",
        ),
        pytest.param(lambda c: c.update_source(1), "changes nothing", id="an empty update"),
        pytest.param(lambda c: c.update_source(1, display_name=" "), "display_name", id="a blank name"),
        pytest.param(source_with(a=""), "is empty", id="an empty string"),
        pytest.param(source_with(a={1}), "JSON", id="a set"),
        pytest.param(source_with(a=[math.nan]), "JSON", id="NaN"),
        pytest.param(
            lambda c: c.create_source("a", "a", properties=["a"]), "must be a dict", id="a list of properties"
        ),
        pytest.param(
            lambda c: c.create_destination("s3", {1: "a"}), "must be a dict", id="a key that is not a string"
        ),
        pytest.param(source_with(cron_expression="0 0 12 * * *"), "day of the week", id="cron, 6 fields"),
        pytest.param(
            source_with(cron_expression="0 0 12 1 * MON-FRI *"), "day of the week", id="cron, 7 fields"
        ),
        pytest.param(source_with(start_date="2025-01-01T01:00:00Z"), "midnight", id="not midnight"),
        pytest.param(source_with(start_date="2025-01-01T00:00:00+02:00"), "midnight", id="not in UTC"),
        pytest.param(source_with(start_date="2025-01-01"), "midnight", id="a date without a time"),
        pytest.param(
            lambda c: c.create_destination("s3", {}, ignore_unmapped_sources="no"),
            "ignore_unmapped_sources must be True or False",
            id="a string instead of a boolean",
        ),
        pytest.param(lambda c: c.create_destination("s3", {}, name=""), "name", id="an empty name"),
        pytest.param(lambda c: c.create_custom_email("alerts"), "e-mail address", id="no @"),
        pytest.param(lambda c: c.create_custom_email("a b@c"), "e-mail address", id="a space"),
        pytest.param(lambda c: c.create_custom_email(None), "e-mail address", id="no address"),
        pytest.param(
            lambda c: c.create_post_load_hook("http://a.example/hush", 1), "https://", id="plain HTTP"
        ),
        pytest.param(lambda c: c.create_post_load_hook("https:///hush", 1), "https://", id="no host"),
        pytest.param(lambda c: c.create_post_load_hook("https://[hush", 1), "https://", id="an invalid URL"),
        pytest.param(lambda c: c.create_post_load_hook("https://a/hush hush", 1), "https://", id="a blank"),
        pytest.param(lambda c: c.create_post_load_hook(None, 1), "https://", id="None as the URL"),
        pytest.param(update(), "updates is empty", id="no stream"),
        pytest.param(update(StreamUpdate("")), "tap_stream_id", id="no name"),
        pytest.param(update(StreamUpdate("a")), "changes nothing", id="no change"),
        pytest.param(update(StreamUpdate("a", selected="yes")), "selected", id="a string as selected"),
        pytest.param(
            update(StreamUpdate("a", replication_method="incremental")), "FULL_TABLE", id="another method"
        ),
        pytest.param(
            update(StreamUpdate("a", replication_method="INCREMENTAL")), "replication_key", id="no key"
        ),
        pytest.param(update(StreamUpdate("a", replication_key="")), "replication_key", id="an empty key"),
        pytest.param(update(StreamUpdate("a", view_key_properties="id")), "list", id="a string as keys"),
        pytest.param(update(StreamUpdate("a", fields=["id"])), "dict", id="a list as fields"),
        pytest.param(
            update(StreamUpdate("a", fields={"id": 1})), "True or False", id="1 as the value of a field"
        ),
        pytest.param(
            update(StreamUpdate("a", selected=False, fields={"id": True})),
            "deselected",
            id="a field of a deselected stream",
        ),
        pytest.param(
            update(StreamUpdate("a", selected=True), StreamUpdate("a", selected=False)),
            "more than once",
            id="a duplicate",
        ),
    ],
)
def test_invalid_argument_is_rejected_before_any_request(stitch, client, call, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        call(client)

    assert stitch.requests == []
    assert "hush" not in str(caught.value), "the URL of a hook may contain a secret"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(source_with(cron_expression="0 0 12 ? * MON-FRI *"), id="cron by day of week"),
        pytest.param(source_with(cron_expression="0 0 12 1 * ?"), id="cron by day of month"),
        pytest.param(source_with(cron_expression="unknown format"), id="cron in another format"),
        pytest.param(source_with(cron_expression=None), id="no cron"),
        pytest.param(source_with(start_date="2025-01-01T00:00:00.000Z"), id="midnight with milliseconds"),
        pytest.param(source_with(start_date=None), id="no start date"),
        pytest.param(source_with(accounts=["1", "2"]), id="a property that is an array"),
        pytest.param(source_with(map={"a": "b"}), id="a property that is an object"),
        pytest.param(lambda c: c.create_source("platform.made-up", "9 lives"), id="any type and name"),
        pytest.param(lambda c: c.update_source(1, display_name="####"), id="any label in an update"),
    ],
)
def test_valid_arguments_reach_stitch(stitch, client, call):
    stitch.script(http_response(samples.SOURCE))

    assert call(client).id == 310442


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("company", ""),
        ("first_name", None),
        ("last_name", 5),
        ("email", "ada"),
        ("region", "us-west-2"),
        ("region", ["us-east-1"]),
    ],
)
def test_account_with_an_invalid_field_is_rejected(stitch, key, value):
    with (
        StitchPartner("oc_id", "oc_secret", base_url=stitch.url) as partner,
        pytest.raises(InvalidArgument, match=key),
    ):
        partner.create_account(**{**ACCOUNT, key: value})

    assert stitch.requests == []


def test_empty_authorization_code_is_rejected(stitch):
    with (
        StitchPartner("oc_id", "oc_secret", base_url=stitch.url) as partner,
        pytest.raises(InvalidArgument, match="code"),
    ):
        partner.exchange_code("")

    assert stitch.requests == []
