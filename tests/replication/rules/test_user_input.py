"""Test the arguments that determine which job a sensor waits for."""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo

import pendulum
import pytest

from airflow_provider_stitch.connect.errors import InvalidArgument
from airflow_provider_stitch.replication.rules.user_input import parse_instant, validate_job_name
from tests.support.builders import OURS, source


@pytest.mark.parametrize(
    ("job_name", "message"),
    [
        pytest.param(
            OURS.replace(".310442.", ".310443."), "belongs to source 310443", id="another source's job"
        ),
        pytest.param(OURS.replace("104857.", "104858."), "account 104858", id="another account's job"),
        pytest.param(OURS.replace(".sync.", ".check."), "StitchConnectionCheckSensor", id="a check"),
        pytest.param("nonsense", "nonsense", id="not a job name"),
        pytest.param("", "XCom", id="a template that rendered to an empty string"),
        pytest.param(None, "XCom", id="None"),
    ],
)
def test_validate_job_name_rejects_other_names_than_the_sources_jobs(job_name, message):
    assert validate_job_name(OURS, source(310442, "github")) == OURS
    with pytest.raises(InvalidArgument, match=message):
        validate_job_name(job_name, source(310442, "github"))


def test_validate_job_name_returns_a_check_if_checks_are_accepted():
    check = OURS.replace(".sync.", ".check.")

    assert validate_job_name(check, source(310442, "github"), accepts_checks=True) == check


@pytest.mark.parametrize(
    "started_after",
    [
        pytest.param(pendulum.datetime(2026, 8, 17, 8, 0, 0, 123456, tz="Europe/Berlin"), id="Pendulum"),
        pytest.param(datetime(2026, 8, 17, 6, 0, 0, 123456, tzinfo=timezone.utc), id="datetime"),
        pytest.param("2026-08-17T08:00:00.123456+02:00", id="string"),
        pytest.param(" 2026-08-17t06:00:00.123456z ", id="string in lower case"),
    ],
)
def test_parse_instant_returns_a_plain_datetime_in_utc(started_after):
    instant = parse_instant(started_after)

    assert type(instant) is datetime
    assert instant.isoformat() == "2026-08-17T06:00:00.123456+00:00"


class ZoneWithoutOffset(tzinfo):
    def utcoffset(self, _):
        return None


@pytest.mark.parametrize(
    "started_after",
    [
        *("", "None", "yesterday", "2026-08-17T08:00:00", None, 0),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"),
        datetime(2026, 8, 17, 8, tzinfo=ZoneWithoutOffset()),
    ],
)
def test_parse_instant_rejects_values_without_time_or_time_zone(started_after):
    with pytest.raises(InvalidArgument, match="must be a time with a time zone"):
        parse_instant(started_after)
