"""Test that objects are parsed from documented samples, and that other input raises only StitchErrors."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.errors import (
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.objects import (
    AccountAccess,
    ConnectionCheck,
    CustomEmail,
    Destination,
    DestinationV3,
    EphemeralToken,
    Extraction,
    ImportToken,
    Load,
    PostLoadHook,
    ReportCard,
    Source,
    Stream,
    StreamSchema,
)
from airflow_provider_stitch.connect.objects.secret_text import SecretText
from tests.connect.utc_times import utc

from . import endpoint_samples as more
from . import samples

SAMPLES = [
    (Source.from_json, samples.SOURCE),
    (Stream.from_json, samples.STREAMS[1]),
    (ConnectionCheck.from_json, samples.CHECK_FAILED),
    (Extraction.from_json, samples.EXTRACTION_TERMINATED),
    (Load.from_json, samples.LOAD_IN_ERROR),
    (Destination.from_json, samples.DESTINATION),
    (DestinationV3.from_json, more.DESTINATION_V3),
    (ReportCard.from_json, more.REPORT_CARD),
    (StreamSchema.from_json, more.STREAM_SCHEMA),
    (CustomEmail.from_json, more.CUSTOM_EMAIL),
    (PostLoadHook.from_json, more.HOOK),
    (ImportToken.from_list, {"token_id": 828804411, "created_at": "2026-08-12T15:22:12Z"}),
]
CONFIDENTIAL = [
    (AccountAccess.from_json, more.AUTHORIZED),
    (ImportToken.from_creation, more.IMPORT_TOKEN),
    (lambda data: EphemeralToken.from_json(data, responded_at=None), more.EPHEMERAL),
]
READERS = [each for each, _ in SAMPLES + CONFIDENTIAL]

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def test_source_is_parsed_from_the_sample():
    source = Source.from_json(samples.SOURCE)

    assert (source.id, source.name, source.display_name) == (310442, "github", "GitHub")
    assert source.label == "github (310442)"
    assert source.created_at == utc(2026, 5, 4, 5, 58, 10)
    assert source.current_step == "fully_configured"
    assert source.schedule == samples.SOURCE["schedule"]
    assert (source.paused_at, source.system_paused_at, source.deleted_at) == (None, None, None)


def test_display_name_defaults_to_the_name():
    source = Source.from_json({"id": 1, "name": "github"})

    assert source.display_name == "github"
    assert (source.properties, source.schedule, source.current_step) == ({}, None, None)


def test_unknown_keys_are_kept_in_raw_but_not_in_repr():
    source = Source.from_json({**samples.SOURCE, "flavour": "vanilla"})

    assert source.raw["flavour"] == "vanilla"
    assert "vanilla" not in repr(source)
    assert source == Source.from_json(samples.SOURCE)


def test_database_stream_has_a_schema():
    commits, orders = map(Stream.from_json, samples.STREAMS)

    assert (commits.selected, commits.schema_name) == (True, None)
    assert (orders.stream_id, orders.tap_stream_id, orders.stream_name) == (
        5120902,
        "shopdb-public-orders",
        "orders",
    )
    assert (orders.selected, orders.schema_name) == (None, "public")


def test_schema_may_be_an_object_or_missing():
    assert StreamSchema.from_json({"schema": {"type": "object"}}).schema == {"type": "object"}
    assert (StreamSchema.from_json({}).schema, StreamSchema.from_json({}).fields) == ({}, {})


def test_failed_connection_check_has_status_failed():
    check = ConnectionCheck.from_json(samples.CHECK_FAILED)

    assert (check.status, check.check_exit_status, check.discovery_exit_status) == ("failed", None, 1)
    assert "password authentication failed" in (check.discovery_error_message or "")


def test_terminated_extraction_has_null_statuses_and_completion_time():
    extraction = Extraction.from_json(samples.EXTRACTION_TERMINATED)

    assert extraction.completion_time == utc(2026, 8, 17, 5, 0, 4)
    assert extraction.tap_exit_status is None
    assert extraction.tap_description == "Terminated"


@pytest.mark.parametrize("key", ["source_type", "tap_name"])
def test_tap_name_is_read_from_either_key(key):
    assert Extraction.from_json({"job_name": "a", "source_id": 1, key: "tap-github"}).tap_name == "tap-github"


@pytest.mark.parametrize(
    ("error_state", "error"),
    [
        pytest.param(None, None, id="no error"),
        pytest.param(
            samples.LOAD_IN_ERROR["error_state"],
            "establish a connection to your data warehouse: "
            "[Simba][SparkJDBCDriver](500151) Error setting/closing session.",
            id="the documented sample",
        ),
        pytest.param(
            {"exception_chain": [{"message": "disk full"}]}, "disk full", id="a deeply nested message"
        ),
        pytest.param("quota used up", "quota used up", id="a string"),
        pytest.param({"code": 7}, '{"code":7}', id="no message"),
        pytest.param({}, "{}", id="an empty object is an error"),
        pytest.param(False, "false", id="false is an error"),
        pytest.param({"message": "a\n\tb\x00"}, "a b", id="control characters"),
        pytest.param({"message": "x" * 600}, "x" * 499 + "…", id="capped"),
        pytest.param(
            {"notification_data": {"warehouse_message": "no space"}},
            "no space",
            id="only a warehouse message",
        ),
    ],
)
def test_load_error_is_extracted_from_any_structure(error_state, error):
    assert Load.from_json({**samples.LOAD_GOOD, "error_state": error_state}).error == error


REQUIRED = ("id", "type", "name", "stream_id", "tap_stream_id", "stream_name", "job_name", "source_id")
OPTIONAL_HERE = [(Source, "type"), (Destination, "type"), (DestinationV3, "type"), (PostLoadHook, "type")]


@pytest.mark.parametrize(
    ("read", "sample", "key"),
    [
        pytest.param(read, sample, key, id=f"{read.__self__.__name__}.{key}")
        for read, sample in SAMPLES
        for key in (*REQUIRED, "source_name", "token_id")
        if key in sample and (read.__self__, key) not in OPTIONAL_HERE
    ],
)
@pytest.mark.parametrize("value", [None, "", [], {"a": 1}, True])
def test_object_without_id_or_name_is_rejected(read, sample, key, value):
    with pytest.raises(UnexpectedResponse, match=key if value is not None or key != "token_id" else "id"):
        read({**sample, key: value})


@pytest.mark.parametrize(
    ("object_class", "sample", "key", "value"),
    [
        pytest.param(Source, samples.SOURCE, "paused_at", "yesterday", id="an invalid time"),
        pytest.param(Source, samples.SOURCE, "paused_at", 0, id="a number as a time"),
        pytest.param(Source, samples.SOURCE, "report_card", "done", id="a string as the report card"),
        pytest.param(Stream, samples.STREAMS[0], "selected", "yes", id="a string instead of a boolean"),
        pytest.param(Extraction, samples.EXTRACTION_GOOD, "tap_exit_status", "0", id="a string as a status"),
        pytest.param(
            Extraction, samples.EXTRACTION_GOOD, "tap_exit_status", True, id="a boolean as a status"
        ),
        pytest.param(
            Load, samples.LOAD_GOOD, "last_batch_loaded_at", "2026-02-30T00:00:00Z", id="30 February"
        ),
    ],
)
def test_error_names_the_key_of_a_value_of_wrong_type(object_class, sample, key, value):
    with pytest.raises(UnexpectedResponse, match=key):
        object_class.from_json({**sample, key: value})


def test_lone_surrogate_is_replaced():
    source = Source.from_json({**samples.SOURCE, "display_name": "a\ud800b"})

    assert source.display_name == "a�b"


@pytest.mark.parametrize("read", READERS)
@given(data=any_json)
def test_arbitrary_json_raises_only_stitch_errors(read, data):
    with suppress(UnexpectedResponse):
        read(data)


@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_sample_with_one_changed_value_raises_only_stitch_errors(sample, data):
    read, values = sample
    key = data.draw(st.sampled_from(sorted(values)))
    changed = {**values, key: data.draw(any_json)}
    try:
        made = read(changed)
        if isinstance(made, Load) and made.error is not None:
            assert len(made.error) <= 500
        if isinstance(made, Source | Destination) and key == "report_card":
            assert made.report_card is None or made.report_card.missing_properties is not None
    except UnexpectedResponse as error:
        message = str(error)
    else:
        return
    assert key in message or key in ("report_card", "steps", "metadata", "details")
    message.encode()  # an error message that cannot be encoded would hide the error


@given(schema=any_json | st.text(), metadata=any_json, step=any_json)
def test_nested_values_raise_only_stitch_errors(schema, metadata, step):
    entries = [{"breadcrumb": ["properties", "a"], "metadata": metadata}, metadata]
    for read, data in (
        (StreamSchema.from_json, {"schema": schema, "metadata": entries[:1]}),
        (StreamSchema.from_json, {"schema": json.dumps(schema), "metadata": entries}),
        (ReportCard.from_json, {"type": "a", "steps": [step, {"type": "form", "properties": [step]}]}),
        (PostLoadHook.from_json, {"id": 1, "destination_id": schema, "config": metadata}),
    ):
        with suppress(UnexpectedResponse):
            read(data)


# Secrets.


@pytest.mark.parametrize(("read", "sample"), CONFIDENTIAL)
def test_secret_is_returned_by_reveal_only(read, sample):
    made = read({**sample, "flavour": "vanilla"})
    [secret] = [getattr(made, name) for name in made.__slots__ if isinstance(getattr(made, name), SecretText)]

    shown = (
        f"{made!r} {made} {made.raw} {dataclasses.asdict(made)} {secret} {secret!r} {[secret]} %s" % secret
    )
    assert secret.reveal() in json.dumps(sample)
    assert secret.reveal() not in shown
    assert made.raw["flavour"] == "vanilla"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(made)
    with pytest.raises(TypeError):
        json.dumps({"token": secret})


def test_secrets_with_equal_text_are_equal():
    assert SecretText("a") == SecretText("a") != SecretText("b")
    assert SecretText("a") != "a"
    assert copy.deepcopy({SecretText("a"): 1}) == {SecretText("a"): 1}


def test_repr_of_hook_hides_the_url():
    assert "hooks.acme.example" not in repr(PostLoadHook.from_json(more.HOOK))


@pytest.mark.parametrize("field", ["paused_at", "system_paused_at", "deleted_at", None])
def test_source_is_paused_or_deleted(field):
    times = {} if field is None else {field: "2026-08-17T06:04:51Z"}
    source = Source.from_json({"id": 310442, "name": "github", **times})

    assert source.is_paused is (field in ("paused_at", "system_paused_at"))
    assert source.is_deleted is (field == "deleted_at")
