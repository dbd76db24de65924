"""Which source is meant, which job is meant, and what can never finish."""

from __future__ import annotations

from datetime import datetime, timezone

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.errors import (
    AmbiguousSource,
    CannotFinish,
    DeletedSource,
    InvalidArgument,
    UnknownSource,
)
from airflow_provider_stitch.connect.objects import Destination, Source
from airflow_provider_stitch.replication.rules.goal import PHASES, Goal
from airflow_provider_stitch.replication.rules.preconditions import schedule_blocker, start_blocker
from airflow_provider_stitch.replication.rules.user_input import parse_instant, validate_job_name
from airflow_provider_stitch.replication.sources import find_source
from tests.support.builders import OURS, at, goal

WHEN = "2026-08-01T00:00:00Z"


def source(
    source_id: int, name: str, display_name: str | None = None, *, step="fully_configured", **fields
) -> Source:
    card = {"current_step_type": step}
    basics = {"id": source_id, "name": name, "display_name": display_name or name, "report_card": card}
    return Source.from_json({**basics, "type": "platform.github", "stitch_client_id": 104857, **fields})


SOURCES = [
    source(1, "github", "GitHub"),
    source(2, "salesforce_prod", "Salesforce"),
    source(3, "salesforce_test", "Salesforce"),
    source(4, "github", "GitHub", deleted_at=WHEN),
    source(5, "zendesk", "Zendesk", deleted_at=WHEN),
    source(6, "years", "2024"),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(2, 2, id="an id"),
        pytest.param("2", 2, id="an id as text, as a template renders it"),
        pytest.param(" github ", 1, id="a name, with blanks around it"),
        pytest.param("Zendesk", 5, id="a deleted one, if no other has the name"),
        pytest.param("GitHub", 1, id="a display name, of the living source"),
        pytest.param("2024", 6, id="a display name that looks like an id"),
        pytest.param(4, 4, id="a deleted one by its id"),
    ],
)
def test_a_source_is_found_by_id_name_or_display_name(wanted, found):
    assert find_source(SOURCES, wanted).id == found


def test_an_unknown_source_lists_the_likeliest():
    with pytest.raises(
        UnknownSource, match=r"no source 'githob'.*github \(1, displayed as 'GitHub'\).* and 3 more"
    ):
        find_source(SOURCES, "githob")


def test_an_ambiguous_display_name_lists_those_that_fit():
    with pytest.raises(AmbiguousSource, match=r"2 sources.*salesforce_prod \(2.*salesforce_test \(3"):
        find_source(SOURCES, "Salesforce")


def test_an_account_without_sources_says_so():
    with pytest.raises(UnknownSource, match="no sources at all"):
        find_source([], "github")


WAREHOUSE = Destination.from_json({"id": 1, "name": "warehouse", "type": "postgres"})
GONE = Destination.from_json({"id": 1, "name": "warehouse", "type": "postgres", "deleted_at": WHEN})


@pytest.mark.parametrize(
    ("the_source", "destinations", "kind", "words"),
    [
        pytest.param(source(1, "a"), [WAREHOUSE], None, "", id="all is well"),
        pytest.param(
            source(1, "a", paused_at=WHEN), [WAREHOUSE], None, "", id="paused: started by hand all the same"
        ),
        pytest.param(
            source(1, "a", deleted_at=WHEN), [WAREHOUSE], DeletedSource, "was deleted", id="deleted"
        ),
        pytest.param(
            source(1, "a", step="field_selection"),
            [WAREHOUSE],
            CannotFinish,
            "Select at least one stream",
            id="no stream selected",
        ),
        pytest.param(
            source(1, "a", step="discover_schema"),
            [WAREHOUSE],
            CannotFinish,
            "connection check",
            id="the check has not succeeded",
        ),
        pytest.param(source(1, "a", step=None), [WAREHOUSE], None, "", id="an old source without a step"),
        pytest.param(source(1, "a"), [], CannotFinish, "no destination", id="no destination"),
        pytest.param(source(1, "a"), [GONE], CannotFinish, "no destination", id="a deleted destination"),
        pytest.param(
            source(1, "a", type="import_api"), [WAREHOUSE], CannotFinish, "no jobs to start", id="import api"
        ),
        pytest.param(
            source(1, "a", type="webhook.x"), [WAREHOUSE], CannotFinish, "no jobs to start", id="webhook"
        ),
    ],
)
def test_what_can_never_finish_is_not_started(the_source, destinations, kind, words):
    why_not = start_blocker(the_source, destinations)

    assert why_not is None if kind is None else type(why_not) is kind
    assert words in str(why_not)


@pytest.mark.parametrize("how", [{"type": "import_api"}, {"step": "form"}])
def test_nobody_waits_for_the_schedule_of_a_source_that_can_have_no_job(how):
    assert isinstance(schedule_blocker(source(1, "a", **how), [WAREHOUSE]), CannotFinish)
    assert isinstance(schedule_blocker(source(1, "a"), []), CannotFinish)


@pytest.mark.parametrize("by", ["paused_at", "system_paused_at"])
def test_nobody_waits_for_the_schedule_of_a_paused_source(by):
    assert "paused" in str(schedule_blocker(source(1, "a", **{by: WHEN}), [WAREHOUSE]))
    assert schedule_blocker(source(1, "a"), [WAREHOUSE]) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"phase": "loaded"}, "Unknown phase 'loaded'", id="a phase that there is not"),
        pytest.param({}, "exactly one way", id="no job"),
        pytest.param({"job_name": OURS, "started_after": at("06:00:00")}, "exactly one way", id="two jobs"),
        pytest.param({"job_name": OURS, "load_settle": -1}, "load_settle", id="negative time to settle"),
    ],
)
def test_a_goal_that_makes_no_sense_is_refused(arguments, words):
    with pytest.raises(InvalidArgument, match=words):
        Goal(
            **{
                "phase": "loading",
                "source_id": 310442,
                "source_name": "github",
                "client_id": 104857,
                **arguments,
            }
        )


@given(
    st.sampled_from(PHASES),
    st.none() | st.lists(st.text()).map(tuple),
    st.sampled_from([{}, {"started_after": at("06:00:00.123456")}, {"running_at": at("06:00:00")}]),
)
def test_a_goal_survives_a_triggers_stored_arguments(phase, streams, which):
    wanted = goal(phase, streams=streams, **which)

    assert Goal.from_dict(wanted.to_dict()) == wanted


@pytest.mark.parametrize(
    ("job_name", "words"),
    [
        pytest.param(
            OURS.replace(".310442.", ".310443."), "belongs to source 310443", id="another source's job"
        ),
        pytest.param("nonsense", "nonsense", id="no job's name"),
        pytest.param("", "XCom", id="a template that came to nothing"),
        pytest.param(None, "XCom", id="nothing"),
    ],
)
def test_a_job_name_that_a_user_gives_is_checked(job_name, words):
    assert validate_job_name(OURS, source(310442, "github")) == OURS
    with pytest.raises(InvalidArgument, match=words):
        validate_job_name(job_name, source(310442, "github"))


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(pendulum.datetime(2026, 8, 17, 8, 0, 0, 123456, tz="Europe/Berlin"), id="Airflow's own"),
        pytest.param(datetime(2026, 8, 17, 6, 0, 0, 123456, tzinfo=timezone.utc), id="a datetime"),
        pytest.param("2026-08-17T08:00:00.123456+02:00", id="text"),
    ],
)
def test_an_instant_that_a_user_gives_becomes_a_plain_one(given):
    instant = parse_instant(given)

    assert type(instant) is datetime
    assert instant.isoformat() == "2026-08-17T06:00:00.123456+00:00"


@pytest.mark.parametrize("given", ["", "None", "yesterday", "2026-08-17T08:00:00", None, 0])
def test_what_is_no_instant_is_refused(given):
    with pytest.raises(InvalidArgument, match="must be a time with a time zone"):
        parse_instant(given)
