"""Test how list pages and times are parsed."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.errors import (
    InvalidArgument,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.objects import (
    JobName,
    Load,
    Page,
    format_time,
    parse_time,
)
from tests.connect.utc_times import utc

from . import samples
from .scripted_server import http_response

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


# Tests for parsing and formatting times.


@pytest.mark.parametrize("date", ["", "yesterday"], ids=["no date", "invalid date"])
def test_response_without_a_date_is_dated_by_an_earlier_one(stitch, client_for, fake_clock, date):
    client = client_for(monotonic=fake_clock.monotonic)
    page = {"data": [], "page": 1, "total": 0, "links": {}}
    stitch.script(http_response(page), http_response(page, Date=date))

    assert client.list_loads().responded_at == utc(2026, 8, 17, 6, 40, 12)
    fake_clock.sleep(90)
    assert client.list_loads().responded_at == utc(2026, 8, 17, 6, 41, 42)


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
