"""Which streams are waited for, and when they count as loaded: tables of logs and loads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stitch.connect.errors import LoadingFailed, UnknownStream
from airflow_provider_stitch.connect.extraction_log import parse_extraction_log
from airflow_provider_stitch.replication.known import Known
from airflow_provider_stitch.replication.loading import select_streams
from airflow_provider_stitch.replication.phases import Question, assess
from tests.replication.facts import (
    OURS,
    SUCCEEDED,
    at,
    extraction,
    flushed,
    goal,
    load,
    log,
    replicated,
    stream,
)

COMMITS, ISSUES = stream("commits"), stream("issues")
ONE_FLUSH = log(replicated("06:02:33", "commits", 412), flushed("06:04:40.118", "commits"))
TWO_FLUSHES = log(flushed("06:01:10", "commits"), flushed("06:04:40", "commits"))


def known(the_log=ONE_FLUSH, *, streams=(COMMITS, ISSUES), looks=((), "06:03:00"), **rest) -> Known:
    """What is known once the extraction is over; `looks` are loads and Stitch's time, look by look."""
    facts = {
        "extraction": extraction(),
        "log": the_log,
        "streams": tuple(streams),
        "earlier_seen_at": at("06:00:10"),
    }
    result = Known(**{**facts, **rest})
    pairs = looks if isinstance(looks, list) else [looks]
    for loads, clock in pairs:
        result = result.with_loads(loads, at(clock))
    return result


@pytest.mark.parametrize(
    ("the_log", "loads", "looked", "state"),
    [
        pytest.param(ONE_FLUSH, [], "06:10:00", "running", id="no load of it is listed"),
        pytest.param(
            ONE_FLUSH, [load("commits", "06:04:39")], "06:10:00", "running", id="older than the last flush"
        ),
        pytest.param(
            ONE_FLUSH, [load("commits", "06:04:41")], "06:04:42", "finished", id="just after the only flush"
        ),
        pytest.param(
            ONE_FLUSH, [load("commits", "06:09:47")], "06:09:48", "finished", id="minutes after the flush"
        ),
        pytest.param(
            ONE_FLUSH,
            [load("commits", "06:04:40")],
            "06:05:00",
            "running",
            id="in the very second of the flush: either side of it",
        ),
        pytest.param(
            ONE_FLUSH,
            [load("commits", "06:04:40")],
            "06:06:40",
            "finished",
            id="in the very second of the flush, and settled",
        ),
        pytest.param(
            TWO_FLUSHES,
            [load("commits", "06:05:00")],
            "06:05:30",
            "running",
            id="flushed twice: the first batch may have been loaded late",
        ),
        pytest.param(
            TWO_FLUSHES,
            [load("commits", "06:05:00")],
            "06:07:00",
            "finished",
            id="flushed twice, and the last load has stood still for 120 s",
        ),
        pytest.param(
            log(replicated("06:02:33", "commits", 0)),
            [],
            "06:05:00",
            "finished",
            id="no stream had rows, so nothing is waited for",
        ),
        pytest.param(
            log(flushed("06:04:40", "issues"), replicated("06:02:33", "commits", 0)),
            [load("issues", "06:05:00")],
            "06:05:01",
            "finished",
            id="a stream without rows is not waited for",
        ),
        pytest.param(
            log(replicated("06:02:33", "commits", 5)),
            [load("commits", "06:05:00")],
            "06:05:01",
            "running",
            id="rows whose flush is not logged must settle",
        ),
        pytest.param(
            log(replicated("06:02:33", "commits", 5)),
            [load("commits", "06:05:00")],
            "06:07:00",
            "finished",
            id="rows whose flush is not logged, settled",
        ),
    ],
)
def test_a_stream_is_loaded_once_its_last_load_has_passed_its_last_flush(the_log, loads, looked, state):
    assert assess(goal("loading"), known(the_log, looks=(loads, looked))).state == state


def test_a_stream_loaded_before_the_job_ended_counts():
    early = log(
        flushed("06:00:30", "commits"),
        ending="06:04:51 main INFO Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.",
    )

    assert (
        assess(goal("loading"), known(early, looks=([load("commits", "06:02:00")], "06:05:00"))).state
        == "finished"
    )


def test_load_settle_0_trusts_the_first_load():
    loads = ([load("commits", "06:05:00")], "06:05:00")

    assert assess(goal("loading", load_settle=0), known(TWO_FLUSHES, looks=loads)).state == "finished"


def test_the_result_tells_rows_and_load_time_of_each_stream():
    finished = assess(goal("loading"), known(looks=([load("commits", "06:09:47")], "06:10:00")))

    assert [(v.target.label, v.target.rows, v.loaded_at) for v in finished.streams] == [
        ("commits", 412, at("06:09:47"))
    ]
    assert "Loaded commits: 412 rows at 2026-08-17T06:09:47Z" in finished.remarks


# --- Which streams --------------------------------------------------------------------------------------


def test_only_the_streams_asked_for_are_waited_for():
    both = log(flushed("06:04:40", "commits"), flushed("06:04:40", "issues"))
    loads = ([load("issues", "06:05:00")], "06:10:00")

    assert assess(goal("loading", streams=("issues",)), known(both, looks=loads)).state == "finished"
    assert assess(goal("loading"), known(both, looks=loads)).state == "running"


SHOP = (
    stream("orders", "shopdb-public-orders", schema="public"),
    stream("orders", "shopdb-archive-orders", schema="archive"),
    stream("customers", "shopdb-public-customers", schema="public"),
    stream("carts", "shopdb-public-carts", selected=False),
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("customers", "shopdb-public-customers", id="by its name"),
        pytest.param("shopdb-archive-orders", "shopdb-archive-orders", id="by its id"),
        pytest.param(
            "orders",
            "Name one of them by its id: shopdb-public-orders, shopdb-archive-orders",
            id="a name that stands twice",
        ),
        pytest.param("carts", "not selected", id="a stream that is not selected"),
        pytest.param(
            "custmers",
            "Its selected streams are: customers, shopdb-archive-orders, shopdb-public-orders",
            id="a name that is not there",
        ),
    ],
)
def test_a_stream_is_named_as_users_see_it(name, found):
    if found in {stream.tap_stream_id for stream in SHOP}:
        assert [stream.tap_stream_id for stream in select_streams(SHOP, [name])] == [found]
    else:
        with pytest.raises(UnknownStream, match=found):
            select_streams(SHOP, [name])


def test_databases_log_one_name_and_list_loads_by_another():
    customers = log(replicated("06:02:00", "customers", 3), flushed("06:04:40", "shopdb-public-customers"))
    loads = ([load("customers", "06:05:00")], "06:05:01")

    finished = assess(goal("loading"), known(customers, streams=SHOP, looks=loads))

    assert finished.state == "finished"
    assert [(v.target.label, v.target.rows) for v in finished.streams] == [("customers", 3)]


def test_the_destinations_table_may_carry_the_schema_in_its_name():
    customers = log(flushed("06:04:40", "shopdb-public-customers"))
    loads = ([load("public__customers", "06:05:00"), load("customers", "05:00:00")], "06:05:01")

    assert assess(goal("loading"), known(customers, streams=SHOP, looks=loads)).state == "finished"


@pytest.mark.parametrize(
    ("loads", "state"),
    [
        pytest.param(["06:05:00", "06:06:00"], "finished", id="both have passed"),
        pytest.param(["06:06:00", "05:00:00"], "running", id="one is still as old as the job before"),
        pytest.param(["06:06:00"], "finished", id="both go by one record, which has settled"),
        pytest.param(["06:02:00"], "running", id="both go by one record, which is old"),
    ],
)
def test_two_streams_of_one_name_are_loaded_when_each_has_a_load_of_its_own(loads, state):
    orders = log(flushed("06:03:00", "shopdb-public-orders"), flushed("06:04:40", "shopdb-archive-orders"))
    looks = ([load("orders", loaded) for loaded in loads], "06:30:00")

    assert assess(goal("loading"), known(orders, streams=SHOP, looks=looks)).state == state


def test_of_two_streams_of_one_name_the_one_asked_for_does_not_pass_by_the_other_s_load():
    orders = log(flushed("06:04:40", "shopdb-public-orders"), flushed("06:03:00", "shopdb-archive-orders"))
    looks = ([load("orders", "06:04:00")], "06:30:00")  # the archive's, and none of ours yet

    verdict = assess(
        goal("loading", streams=("shopdb-public-orders",)), known(orders, streams=SHOP, looks=looks)
    )

    assert verdict.state == "running"


@pytest.mark.parametrize(
    ("earlier", "state"),
    [
        pytest.param({"earlier_seen_at": at("06:00:10")}, "finished", id="there was no job before"),
        pytest.param(
            {"earlier_seen_at": at("06:00:10"), "earlier_ended_at": at("05:00:00")},
            "finished",
            id="it ended long ago",
        ),
        pytest.param(
            {"earlier_seen_at": at("06:00:10"), "earlier_ended_at": at("05:59:00")},
            "running",
            id="it ended just before",
        ),
        pytest.param({"earlier_seen_at": None}, "running", id="nobody knows when it ended"),
        pytest.param({"earlier_seen_at": at("05:59:59")}, "running", id="one may have come after that look"),
    ],
)
def test_a_load_may_bring_rows_of_the_job_before_so_it_must_settle(earlier, state):
    facts = known(looks=([load("commits", "06:05:00")], "06:05:30"), **earlier)

    assert assess(goal("loading"), facts).state == state
    assert (
        assess(goal("loading"), facts.with_loads([load("commits", "06:05:00")], at("06:07:00"))).state
        == "finished"
    )


def test_a_look_for_one_streams_load_leaves_what_is_known_of_the_others():
    """Loads of one source are on several pages, of which only those are looked at that are waited for."""
    both = log(flushed("06:04:30", "commits"), flushed("06:04:40", "issues"))
    facts = known(both, looks=([load("commits", "06:05:00"), load("issues", None, "locked")], "06:06:00"))
    facts = facts.with_loads([load("issues", "06:06:10")], at("06:08:10"), {"issues"})

    assert assess(goal("loading"), facts).state == "finished"


A_USERS, B_USERS = stream("users", "a-users", schema="a"), stream("users", "b-users", schema="b")


@pytest.mark.parametrize(
    ("the_log", "loads", "looked", "state"),
    [
        (TWO_FLUSHES, [load("commits", "06:04:41")], "06:06:40", "running"),
        (TWO_FLUSHES, [load("commits", "06:04:41")], "06:06:41", "finished"),
        (log(flushed("06:04:00", "a-users")), [load("users", "06:04:30")], "06:04:31", "running"),
        (log(flushed("06:04:00", "a-users")), [load("users", "06:04:30")], "06:06:30", "finished"),
        (
            log(flushed("06:01:00", "a-users"), flushed("06:04:00", "b-users")),
            [load("users", "06:01:30"), load("users", "06:04:30")],
            "06:20:00",
            "finished",
        ),
        (
            log(flushed("06:01:00", "a-users"), flushed("06:04:00", "b-users")),
            [load("users", "06:00:30"), load("users", "06:04:30")],
            "06:20:00",
            "running",
        ),
    ],
)
def test_a_load_that_may_be_another_s_settles_and_namesakes_are_paired(the_log, loads, looked, state):
    facts = known(the_log, streams=(COMMITS, A_USERS, B_USERS), looks=(loads, looked))

    assert assess(goal("loading"), facts).state == state


def test_flushes_of_a_stream_under_both_of_its_names_are_counted_together():
    both = log(flushed("06:04:00", "a-users"), flushed("06:04:10", "users"))

    facts = known(both, streams=(A_USERS,), looks=([load("users", "06:04:30")], "06:04:31"))

    assert assess(goal("loading"), facts).state == "running"


def test_a_log_that_is_cut_off_is_asked_for_again_before_it_is_given_up():
    cut_off = log(flushed("06:04:00", "commits"), ending=None)

    assert assess(goal("loading"), known(cut_off, log_refused_at=(at("06:05:00"),))).asks == (Question.LOG,)


def test_a_load_that_was_looked_for_and_not_found_is_not_known_any_more():
    facts = known(looks=([load("commits", "06:04:39")], "06:06:00"))

    assert facts.with_loads([], at("06:06:20"), {"commits"}).loads == {}
    assert facts.with_loads([], at("06:06:20"), {"issues"}).loads == facts.loads


def test_an_error_that_was_not_looked_for_is_followed_on():
    broken = load("commits", None, "locked")
    facts = known(looks=([broken], "06:06:00"))

    unseen = facts.with_loads([load("issues", "06:06:10")], at("06:06:20"), {"issues"})

    assert unseen.troubles == facts.troubles
    assert unseen.with_loads([broken], at("06:06:40"), {"commits"}).troubles["commits"].looks == 1


def test_rows_of_no_known_flush_may_be_loaded_before_the_log_tells_of_them():
    """Nothing would ever be loaded after that line. So an earlier load counts once all is quiet."""
    summed_up_at_the_end = log(replicated("06:04:50", "commits", 412))
    early = ([load("commits", "06:03:10")], "06:19:50")
    late = ([load("commits", "06:03:10")], "06:20:00")
    before_the_job = ([load("commits", "05:59:10")], "06:20:00")

    assert assess(goal("loading"), known(summed_up_at_the_end, looks=early)).state == "running"
    in_the_end = assess(goal("loading"), known(summed_up_at_the_end, looks=late))
    assert in_the_end.state == "finished"
    (warning,) = in_the_end.warnings
    assert warning.startswith("The extraction's log does not tell when rows of commits were flushed.")
    assert assess(goal("loading"), known(summed_up_at_the_end, looks=before_the_job)).state == "running"


def test_a_load_after_the_flush_is_no_reason_for_a_warning():
    after = ([load("commits", "06:09:47")], "06:20:00")

    assert assess(goal("loading"), known(ONE_FLUSH, looks=after)).warnings == ()


def test_a_log_without_times_counts_loads_since_the_job_began_that_have_settled():
    timeless = parse_extraction_log(
        [b"send-stream-record-count-impl commits\n", f"main - INFO {SUCCEEDED}\n".encode()]
    )

    assert (
        assess(goal("loading"), known(timeless, looks=([load("commits", "06:00:05")], "06:00:10"))).state
        == "running"
    )
    assert (
        assess(goal("loading"), known(timeless, looks=([load("commits", "06:00:05")], "06:05:00"))).state
        == "finished"
    )


def test_an_empty_list_of_streams_is_refused():
    assert isinstance(assess(goal("loading", streams=()), known()).failure, UnknownStream)


# --- Without a log --------------------------------------------------------------------------------------

GONE = {"log_refused_at": (at("06:05:00"), at("06:05:30"), at("06:10:00"))}


def test_a_missing_log_is_asked_for_again_before_it_is_given_up():
    refused_once = known(None, log_refused_at=(at("06:05:00"),))

    assert assess(goal("loading"), refused_once).asks == (Question.LOG,)
    assert assess(goal("loading"), known(None, **GONE)).asks == (Question.LOADS,)


@pytest.mark.parametrize(
    ("the_log", "loads", "looked", "state"),
    [
        pytest.param(
            None, [load("commits", "06:05:00")], "06:19:00", "running", id="the other may still come"
        ),
        pytest.param(
            None, [load("commits", "06:05:00")], "06:20:00", "finished", id="15 minutes after the last load"
        ),
        pytest.param(
            None, [load("commits", "05:59:00")], "06:19:00", "running", id="no load since the job began"
        ),
        pytest.param(None, [], "06:19:51", "finished", id="15 minutes after the end of the extraction"),
        pytest.param(
            log(flushed("06:04:40", "commits"), ending=None),
            [],
            "06:10:00",
            "running",
            id="a log that is cut off tells nothing",
        ),
        pytest.param(
            log("06:00:03 main INFO Running tap in sync mode"),
            [],
            "06:10:00",
            "running",
            id="a log without markers tells nothing",
        ),
    ],
)
def test_without_a_log_every_selected_stream_is_waited_for(the_log, loads, looked, state):
    streams = (*(COMMITS, ISSUES), stream("forks", selected=False))

    verdict = assess(goal("loading"), known(the_log, streams=streams, looks=(loads, looked), **GONE))

    assert verdict.state == state
    assert any("does not tell which streams had rows" in warning for warning in verdict.warnings)
    assert {v.target.label for v in verdict.streams} == {"commits", "issues"}


def test_streams_taken_to_have_had_no_rows_are_named_in_a_warning():
    looks = ([load("commits", "06:05:00")], "06:20:00")

    verdict = assess(goal("loading"), known(None, looks=looks, **GONE))

    assert any("Saw no load of issues" in warning for warning in verdict.warnings)


# --- Load errors ----------------------------------------------------------------------------------------

BAD = load("commits", None, error="relation is locked")
GOOD = load("commits", "05:00:00")
LOADED = load("commits", "06:09:47")


@pytest.mark.parametrize(
    ("looks", "state"),
    [
        pytest.param([([GOOD], "06:00:10"), ([BAD], "06:06:00")], "failed", id="new: it was well before"),
        pytest.param([([], "06:00:10"), ([BAD], "06:06:00")], "failed", id="new: it was not listed before"),
        pytest.param([([BAD], "06:00:10"), ([BAD], "06:01:00")], "running", id="old: one later look"),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:01:00"), ([BAD], "06:05:09")],
            "running",
            id="old: two later looks within 5 minutes",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:30:00")], "running", id="old: after long, yet one look only"
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:01:00"), ([BAD], "06:05:10")],
            "failed",
            id="old: still there on two later looks, the last 5 minutes after the first",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([], "06:01:00"), ([BAD], "06:02:00")],
            "running",
            id="old: it was not found once, for it had moved to another page",
        ),
        pytest.param(
            [([GOOD], "05:30:00"), ([BAD], "06:06:00")],
            "running",
            id="perhaps old: it was well before the job began",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:01:00"), ([LOADED], "06:09:48")],
            "running",
            id="old: it cleared, and what earlier jobs had left is in",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([GOOD], "06:01:00"), ([GOOD], "06:02:00"), ([LOADED], "06:09:48")],
            "running",
            id="old: it cleared long before, and what earlier jobs had left is in",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([BAD], "06:01:00"), ([LOADED], "06:09:48"), ([LOADED], "06:11:47")],
            "finished",
            id="old: it cleared, and the rows are in",
        ),
        pytest.param(
            [([BAD], "06:00:10"), ([GOOD], "06:01:00"), ([BAD], "06:02:00")],
            "failed",
            id="old: it cleared, and came back",
        ),
    ],
)
def test_a_load_error_fails_at_once_if_it_is_new_and_gets_two_more_looks_if_it_may_be_old(looks, state):
    assert assess(goal("loading"), known(looks=looks)).state == state


def test_a_load_error_is_told_in_the_destinations_own_words():
    failure = assess(goal("loading"), known(looks=[([GOOD], "06:00:10"), ([BAD], "06:06:00")])).failure

    assert isinstance(failure, LoadingFailed)
    for word in ("Loading", "github (310442)", OURS, "commits: relation is locked", "Mend the destination"):
        assert word in str(failure)


def test_a_load_error_of_a_stream_without_new_rows_is_a_warning():
    looks = [([LOADED, load("issues", None, error="disk full")], "06:10:00")]

    verdict = assess(goal("loading"), known(looks=looks))

    assert verdict.state == "finished"
    assert any("issues (disk full)" in warning for warning in verdict.warnings)


def test_preparation_does_not_fail_for_a_load_error():
    looks = [([GOOD], "06:00:10"), ([BAD], "06:06:00")]

    assert assess(goal("preparation"), known(looks=looks)).state == "finished"
    assert assess(goal("preparation"), known(looks=[([GOOD], "06:10:00")])).state == "running"


# --- Rules ----------------------------------------------------------------------------------------------

moments = st.integers(min_value=0, max_value=7200).map(lambda s: at("06:00:00") + timedelta(seconds=s))


@given(
    flushes=st.lists(moments, min_size=1, max_size=4),
    loaded=moments,
    looked=moments,
    settle=st.integers(0, 600),
)
def test_no_stream_passes_by_a_load_older_than_its_last_flush(flushes, loaded, looked, settle):
    """And with several flushes none passes before its load has stood still; but each passes in the end."""
    the_log = log(*(flushed(f"{moment:%H:%M:%S}", "commits") for moment in sorted(flushes)))
    looked = max(looked, loaded)
    loads = [load("commits", f"{loaded:%H:%M:%S}")]
    base = Known(extraction=extraction(), log=the_log, streams=(COMMITS,), earlier_seen_at=at("06:00:10"))

    now = assess(goal("loading", load_settle=settle), base.with_loads(loads, looked)).state
    later = assess(
        goal("loading", load_settle=settle), base.with_loads(loads, looked + timedelta(seconds=settle))
    ).state

    if loaded < max(flushes):
        assert now == later == "running"
    else:
        settled = (looked - loaded).total_seconds() >= settle
        assert now == ("finished" if len(flushes) == 1 or settled else "running")
        assert later == "finished"


@given(st.lists(st.sampled_from([None, "05:00:00", "06:04:41", "06:09:47"]), max_size=4), moments)
def test_preparation_finishes_no_later_than_loading(loaded, looked):
    loads = [load("commits", clock) if clock else BAD for clock in loaded]
    facts = known(TWO_FLUSHES, looks=[(loads, "06:00:10"), (loads, f"{looked:%H:%M:%S}")])

    if assess(goal("loading"), facts).state == "finished":
        assert assess(goal("preparation"), facts).state == "finished"
