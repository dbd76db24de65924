"""API objects are parsed from documented samples; other data raises StitchErrors."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect import errors
from airflow_provider_stitch.connect.errors import (
    ERROR_CLASSES,
    InvalidArgument,
    StitchError,
    StitchUnavailable,
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
    JobName,
    Load,
    Page,
    PostLoadHook,
    ReportCard,
    Source,
    Stream,
    StreamSchema,
    format_time,
    parse_time,
)
from airflow_provider_stitch.connect.objects.secret_text import SecretText

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


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc, arg-type]


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
    message.encode()  # a message that cannot be encoded would hide the error


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


# Pages.


def page_of(data):
    return Page.from_json(data, Load.from_json, number=2, responded_at=None)


def test_page_has_next_and_last_page():
    page = page_of(
        {"data": [samples.LOAD_GOOD], "page": 2, "total": 237, "links": {"next": "/v4/1/loads?page=3"}}
    )

    assert (page.number, page.total, page.last_page, page.next_page) == (2, 237, 3, 3)
    assert page.records[0].stream_name == "commits"


@pytest.mark.parametrize(
    ("total", "last"),
    [
        pytest.param(0, 1, id="no records"),
        pytest.param(1, 1, id="one"),
        pytest.param(100, 1, id="just one page"),
        pytest.param(101, 2, id="one more"),
        pytest.param(900, 9, id="nine full pages"),
    ],
)
def test_last_page_is_computed_from_the_total(total, last):
    assert page_of({"data": [], "total": total, "links": {}}).last_page == last


@pytest.mark.parametrize(
    "data",
    [
        pytest.param([], id="an array"),
        pytest.param({}, id="no data"),
        pytest.param({"data": {}}, id="an object as data"),
        pytest.param({"data": [], "links": []}, id="an array as links"),
        pytest.param({"data": [], "links": {"next": 3}}, id="a number as a link"),
        pytest.param({"data": [], "links": {"next": "/v4/1/loads"}}, id="a link without a page number"),
        pytest.param({"data": [], "links": {"next": "//[?page=3"}}, id="an invalid URL as a link"),
        pytest.param({"data": [], "links": {"next": "?page=-1"}}, id="a page below 1"),
        pytest.param({"data": [], "total": "1"}, id="a string as the total"),
    ],
)
def test_invalid_page_is_rejected(data):
    with pytest.raises(UnexpectedResponse):
        page_of(data)


# Times and job names.


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("2026-08-17T06:00:02Z", utc(2026, 8, 17, 6, 0, 2), id="whole seconds"),
        pytest.param("2026-08-17T06:06:11.204Z", utc(2026, 8, 17, 6, 6, 11, 204000), id="milliseconds"),
        pytest.param("2026-08-17T06:06:11.204567Z", utc(2026, 8, 17, 6, 6, 11, 204567), id="microseconds"),
        pytest.param("2026-08-17T06:06:11.204567891Z", utc(2026, 8, 17, 6, 6, 11, 204567), id="nanoseconds"),
        pytest.param("2026-08-17T06:00:02+00:00", utc(2026, 8, 17, 6, 0, 2), id="an offset of zero"),
        pytest.param("2026-08-17T08:00:02+02:00", utc(2026, 8, 17, 6, 0, 2), id="an offset east"),
        pytest.param("2026-08-17T01:30:02-0430", utc(2026, 8, 17, 6, 0, 2), id="an offset west"),
    ],
)
def test_time_is_parsed_to_utc(text, moment):
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-08-17",
        "2026-08-17T06:00:02",
        "2026-02-30T06:00:02Z",
        "0001-01-01T00:00:00+14:00",
        "2026-08-17T06:00:02Z\n",
    ],
)
def test_invalid_time_is_rejected(text):
    with pytest.raises(InvalidArgument):
        parse_time(text)


@given(st.datetimes(timezones=st.just(timezone.utc)).map(lambda moment: moment.replace(microsecond=0)))
def test_formatted_time_is_parsed_to_the_same_time(moment):
    assert parse_time(format_time(moment)) == moment


@given(st.text())
def test_arbitrary_text_raises_only_stitch_errors(text):
    for read in (parse_time, JobName.parse):
        with suppress(InvalidArgument):
            read(text)


def test_time_without_zone_is_rejected():
    with pytest.raises(InvalidArgument, match="no time zone"):
        format_time(datetime(2026, 8, 17))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "source_id", "mode", "start_time"),
    [
        pytest.param(
            samples.EXTRACTION_GOOD["job_name"], 310442, "sync", utc(2026, 8, 17, 6, 0, 2, 418000), id="a job"
        ),
        pytest.param(
            samples.CHECK_FAILED["name"],
            310444,
            "check",
            utc(2026, 8, 17, 7, 20, 15, 0),
            id="a connection check",
        ),
        pytest.param("1.2.check.9c6b1c3e-1f57-4a0e-9c57-0a3c5d7e9f11", 2, "check", None, id="a random uuid"),
    ],
)
def test_job_name_contains_source_and_start_time(name, source_id, mode, start_time):
    job = JobName.parse(name)

    assert (job.full, job.source_id, job.mode) == (name, source_id, mode)
    if start_time is None:
        assert job.start_time is None
    else:
        assert job.start_time is not None
        assert job.start_time.replace(microsecond=0) == start_time.replace(microsecond=0)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("310442", id="a source id"),
        pytest.param("104857.310442.sync", id="no uuid"),
        pytest.param("104857.310442.sync.43c122b0", id="a short uuid"),
        pytest.param(f"{samples.JOB_NAME}\n", id="a line break"),
        pytest.param(f" {samples.JOB_NAME}", id="a leading space"),
        pytest.param(samples.JOB_NAME.replace(".sync.", ".."), id="no mode"),
        pytest.param("x.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d", id="a client id with letters"),
        pytest.param("٣.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d", id="non-ASCII digits"),
    ],
)
def test_invalid_job_name_is_rejected_with_an_example(name):
    with pytest.raises(InvalidArgument, match="An example of a name: 104857"):
        JobName.parse(name)


# Errors.


@pytest.mark.parametrize("name", sorted(ERROR_CLASSES))
def test_error_survives_pickle_copy_and_trigger_event(name):
    error = ERROR_CLASSES[name]("What happened.", source_id=310442, job_name=samples.JOB_NAME)

    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is ERROR_CLASSES[name]
        assert str(twin) == "What happened."
        assert vars(twin) == vars(error)


def test_error_attributes_survive_pickle():
    error = StitchUnavailable("Away.", retry_after=3.5, maybe_received=False)

    twin = pickle.loads(pickle.dumps(error))

    assert (twin.retry_after, twin.maybe_received) == (3.5, False)


def test_errors_that_a_person_must_fix_are_not_retryable():
    final = {name for name, error_class in ERROR_CLASSES.items() if not error_class.retryable}

    assert final == {
        "StitchConfigurationError",
        "StitchUnauthorized",
        "StitchBadRequest",
        "InvalidProperties",
        "NameInUse",
        "EmailInUse",
        "LimitReached",
        "NotInPlan",
        "StitchNotFound",
        "UnknownSource",
        "UnknownDestination",
        "PausedByStitch",
        "DeletedSource",
        "AmbiguousSource",
        "UnknownStream",
        "InvalidArgument",
        "CannotFinish",
    }
    assert ERROR_CLASSES["StitchError"] is StitchError
    defined = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == ERROR_CLASSES


def test_errors_and_objects_import_only_the_standard_library():
    code = (
        "import sys; from airflow_provider_stitch.connect import errors, objects; "
        "print(sorted({'requests', 'urllib3', 'tenacity', 'airflow'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("statuses", "completed", "expected"),
    [
        pytest.param((0, 0, 0), True, (True, False, False), id="succeeded"),
        pytest.param((None, 0, 0), True, (True, False, False), id="a tap without discovery"),
        pytest.param((0, 1, 0), True, (False, True, False), id="the tap failed"),
        pytest.param((1, None, None), True, (False, True, False), id="discovery failed"),
        pytest.param((None, None, None), True, (False, True, True), id="terminated"),
        pytest.param((0, None, None), False, (False, False, False), id="running"),
    ],
)
def test_extraction_succeeded_failed_or_terminated(statuses, completed, expected):
    parts = ("discovery", "tap", "target")
    extraction = Extraction.from_json(
        {
            "job_name": "104857.310442.sync.43c122b0-9a09-11f1-a2c4-06b1e2c4a85d",
            "source_id": 310442,
            "completion_time": "2026-08-17T06:04:51Z" if completed else None,
            **{f"{part}_exit_status": status for part, status in zip(parts, statuses, strict=True)},
        }
    )

    assert (extraction.succeeded, extraction.failed, extraction.terminated) == expected


@pytest.mark.parametrize("field", ["paused_at", "system_paused_at", "deleted_at", None])
def test_source_is_paused_or_deleted(field):
    times = {} if field is None else {field: "2026-08-17T06:04:51Z"}
    source = Source.from_json({"id": 310442, "name": "github", **times})

    assert source.is_paused is (field in ("paused_at", "system_paused_at"))
    assert source.is_deleted is (field == "deleted_at")
