"""Test what scenario files can contain, and the error messages for invalid scenario files."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_stitch.emulator import Quirks, ScenarioError, load_scenario
from tools.doc_blocks import blocks

from .scenario_files import FULL, write

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator


def get(stitch: StitchEmulator, path: str) -> requests.Response:
    return requests.get(
        f"{stitch.url}{path}", headers={"Authorization": f"Bearer {stitch.access_token}"}, timeout=30
    )


def test_scenario_describes_the_whole_account(tmp_path):
    with load_scenario(write(tmp_path, FULL)) as stitch:
        assert stitch.now() - datetime(2026, 8, 17, 7, tzinfo=timezone.utc) < timedelta(minutes=5)
        assert (stitch.access_token, stitch.client_id, stitch.speed) == ("ac_mine", 7, 1)
        assert stitch.quirks == Quirks(
            stopped_jobs="signalled", listing_delay=5, immutable_properties=("host",)
        )
        sources = {source["name"]: source for source in get(stitch, "/v4/sources").json()}
        assert list(sources) == ["github", "shop", "events", "old", "acme"]
        assert (sources["github"]["id"], sources["github"]["display_name"]) == (5, "GitHub (shop)")
        assert sources["github"]["properties"]["start_date"] == "2025-01-01T00:00:00Z"
        assert sources["github"]["schedule"]["interval"] == 60
        assert sources["shop"]["system_paused_at"]
        assert sources["old"]["deleted_at"]
        assert (sources["acme"]["paused_at"] is not None, sources["acme"]["paused_at"][:10]) == (
            True,
            "2026-08-17",
        )
        assert sources["acme"]["report_card"]["current_step_type"] == "field_selection"
        streams = get(stitch, "/v4/sources/5/streams").json()
        assert [stream["selected"] for stream in streams] == [True, False]
        (warehouse,) = get(stitch, "/v4/destinations").json()
        assert (warehouse["type"], warehouse["name"]) == ("snowflake", "Warehouse")
        assert get(stitch, "/v4/source-types/platform.stripe").json()["details"]["access"] is False
        assert get(stitch, "/v4/destination-types/redshift").json()["details"]["access"] is False


def test_scenario_describes_jobs_loads_and_failures(tmp_path):
    with load_scenario(write(tmp_path, FULL), speed=0.001) as stitch:
        shop = next(source for source in stitch.sources if source.name == "shop")
        assert [(stitch.now() - job.completion_time).seconds // 60 for job in stitch.jobs(5)] == [60, 10]
        (running,) = stitch.jobs(shop.id)
        assert running.completion_time is None

        assert [get(stitch, "/v4/7/loads").status_code for _ in range(3)] == [502, 502, 200]
        loads = {load["stream_name"]: load for load in get(stitch, "/v4/7/loads").json()["data"]}
        assert set(loads) == {"commits", "clicks", "orders"}
        assert "disk full" in str(loads["orders"]["error_state"])
        (failed,) = get(stitch, "/v4/7/extractions").json()["data"]
        assert failed["tap_exit_status"] == 0
        assert get(stitch, f"/v4/7/extractions/{stitch.jobs(5)[0].job_name}").status_code == 500

        job = stitch.start_job(5)
        stitch.advance(1200)

        extractions = {each["source_id"]: each for each in get(stitch, "/v4/7/extractions").json()["data"]}
        assert extractions[5]["job_name"] == job.job_name
        assert extractions[5]["discovery_description"] == "nothing found"


def test_schedule_of_a_scenario_starts_jobs(tmp_path):
    with load_scenario(write(tmp_path, FULL)) as stitch:
        stitch.advance(2 * 3600 + 60)

        assert [job.started_by for job in stitch.jobs(5)][2:] == ["schedule", "schedule"]


def test_toml_describes_the_same_as_yaml(tmp_path):
    toml = """
    start = 2026-08-17T07:00:00Z
    [[sources]]
    name = "github"
    streams = {commits = 120, issues = {rows = 7, selected = false}}
    [[sources.past_jobs]]
    seconds_ago = 600
    """
    yaml = """
    start: 2026-08-17T07:00:00Z
    sources:
      - name: github
        streams: {commits: 120, issues: {rows: 7, selected: false}}
        past_jobs: [{seconds_ago: 600}]
    """
    found = []
    for path in (write(tmp_path, toml, "a.toml"), write(tmp_path, yaml, "a.yml")):
        with load_scenario(path, speed=0.001) as stitch:
            page = get(stitch, f"/v4/{stitch.client_id}/extractions").json()
            found.append((get(stitch, "/v4/sources").json()[0]["properties"], page["data"][0]["start_time"]))

    assert found[0] == found[1]


def test_empty_file_is_an_account_without_sources(tmp_path):
    with load_scenario(write(tmp_path, "")) as stitch:
        assert stitch.sources == []
        assert len(get(stitch, "/v4/destinations").json()) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "sped: 5", r"sped: is not a known key. Did you mean speed\? Allowed: sources, ", id="typo"
        ),
        pytest.param("[1]", "the file: must be a mapping, not a list", id="a list as the file"),
        pytest.param("a: [", "the file: is not valid YAML: .*line", id="invalid YAML"),
        pytest.param(
            "speed: 1\nspeed: 2", "line 2 contains the duplicate key 'speed'", id="a key given twice"
        ),
        pytest.param("speed: 0", "speed must be a number above 0", id="no speed"),
        pytest.param("start: soon", "start: must be a time such as 2026-08-17T06:00:00Z", id="no time"),
        pytest.param(
            "quirks: {load_name: a}", "quirks.load_name: .*Did you mean load_names", id="a quirk's name"
        ),
        pytest.param(
            "quirks: {stop_seconds: -1}",
            "quirks.stop_seconds: must be a number of at least 0, not -1",
            id="a quirk's value",
        ),
        pytest.param(
            "sources: {}", "sources: must be a list, not a mapping", id="a mapping instead of a list"
        ),
        pytest.param("sources: [{name: a}]", r"sources\[0\].streams: is missing", id="no streams"),
        pytest.param("sources: [a]", r'sources\[0\]: must be a mapping, not "a"', id="a name as a source"),
        pytest.param(
            "sources: [{name: a, streams: {b: -1}}]",
            r"sources\[0\].streams.b: must be an integer of at least 0 or a mapping, not -1",
            id="negative rows",
        ),
        pytest.param(
            "sources: [{name: a, streams: {2024: 1}}]",
            r"the key 2024 must be a string",
            id="a number as a key",
        ),
        pytest.param(
            "sources: [{name: a, streams: {}, type: platform.gitub}]",
            r"sources\[0\]: Stitch does not document .* 'platform.gitub'. Did you mean platform.github",
            id="an unknown source type",
        ),
        pytest.param(
            "sources: [{name: a, streams: {}}, {name: a, streams: {}}]",
            r"sources\[1\]: A source named 'a' already exists",
            id="the same name twice",
        ),
        pytest.param(
            "sources: [{name: a, streams: {b: 1}, job: {tap_exit_staus: 1}}]",
            r"sources\[0\].job.tap_exit_staus: .*Did you mean tap_exit_status",
            id="a key inside a job",
        ),
        pytest.param(
            "sources: [{name: a, streams: {b: 1}, job: {tap_seconds: -1}}]",
            r"sources\[0\].job.tap_seconds: must be a number of at least 0",
            id="a negative duration",
        ),
        pytest.param(
            "sources: [{name: a, streams: {b: 1}, job: {log: {target_version: '9.0'}}}]",
            r"sources\[0\].job.log: The log lines of target-stitch 9.0 are not known",
            id="a value that the plan refuses",
        ),
        pytest.param(
            "sources: [{name: a, streams: {b: 1}, job: {rows: {c: 1}}}]",
            r"sources\[0\]: .*c",
            id="rows of no stream",
        ),
        pytest.param(
            "sources: [{name: a, streams: {b: 1}, load_errors: [{stream: c}]}]",
            r"sources\[0\].load_errors\[0\]: .*c",
            id="an outage of no stream",
        ),
        pytest.param(
            "sources: [{name: a, streams: {b: 1}, past_jobs: [{seconds_ago: 10}, {seconds_ago: 20}]}]",
            r"sources\[0\].past_jobs\[0\]: The job would overlap",
            id="jobs that overlap",
        ),
        pytest.param(
            "sources: [{name: a, streams: {}, past_loads: [{stream: b, seconds_ago: 1.0e+300}]}]",
            r"sources\[0\].past_loads\[0\]: a number of seconds is too large for a time",
            id="a time before the calendar",
        ),
        pytest.param(
            "sources: [{name: a, streams: {}, past_jobs: [{seconds_ago: 1.0e+12}]}]",
            r"sources\[0\].past_jobs\[0\]: a number of seconds is too large for a time",
            id="a job before the calendar",
        ),
        pytest.param(
            "sources: [{name: a, streams: {}, properties: {anchor_time: tomorrow}}]",
            r"sources\[0\]: anchor_time must be an ISO 8601 time, not 'tomorrow'",
            id="a word instead of a time",
        ),
        pytest.param(
            "destinations: [{type: oracle}]",
            r"destinations\[0\]: .*Destination types of Stitch: azure_sqldw, ",
            id="an unknown destination type",
        ),
        pytest.param(
            "features: {excluded_source_types: [platform.gitub]}",
            "features: .*Did you mean platform.github",
            id="an excluded type that does not exist",
        ),
        pytest.param(
            "new_sources: {import_api: {}}", "new_sources.import_api: ", id="a type without discovery"
        ),
        pytest.param("failures: [{status: 1000}]", r"failures\[0\]: status must be", id="no HTTP status"),
        pytest.param(
            "sources: [{name: a, streams: {b: 1}, properties: {frequency_in_minutes: soon}}]",
            r"sources\[0\]: frequency_in_minutes must be a number of minutes above 0, not 'soon'",
            id="a word instead of an interval",
        ),
        pytest.param(
            "sources: [{name: a, streams: {b: 1}, properties: {cron_expression: '0 5 * * *'}}]",
            r"sources\[0\]: cron_expression must have six or seven fields.*not '0 5 \* \* \*'",
            id="a cron expression of Airflow",
        ),
        pytest.param(
            "failures: [{method: GTE}]",
            r"failures\[0\]: method must be one of GET, .*, not 'GTE'",
            id="no HTTP method",
        ),
        pytest.param("failures: [{path: '('}]", r"failures\[0\]: path must be a regular", id="no expression"),
        pytest.param(
            "failures: [{times: never}]",
            r'failures\[0\].times: must be an integer of at least 0 or "all", not "never"',
            id="a word instead of a number",
        ),
    ],
)
def test_error_for_an_invalid_file_names_file_key_and_allowed_values(tmp_path, text, problem):
    path = write(tmp_path, text)

    with pytest.raises(ScenarioError, match=problem) as caught:
        load_scenario(path)

    assert str(path) in str(caught.value)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        pytest.param("a.json", b"{}", r"must end with .yaml, .yml or .toml", id="another format"),
        pytest.param("a.toml", b"a = ", "is not valid TOML", id="invalid TOML"),
        pytest.param("a.yaml", b"a: \xff", "is not UTF-8", id="another encoding"),
        pytest.param("a.yaml", None, "cannot be read: No such file", id="no file"),
    ],
)
def test_unreadable_file_is_refused(tmp_path, name, content, problem):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ScenarioError, match=problem):
        load_scenario(path)


def test_all_problems_are_listed_together_as_documented(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        "sources: [{name: a, streams: {}, paused: yes please}]\nquirks: {stopped_jobs: killed}",
    )

    with pytest.raises(ScenarioError) as caught:
        load_scenario("shop.yaml")

    (documented,) = (block.code for block in blocks("text") if block.page == "docs/reference/scenario.md")
    assert f"{caught.value}\n" == documented


def test_quirks_refuse_values_that_are_not_allowed():
    quirks = Quirks()

    with pytest.raises(
        ValueError, match=r'Quirks.stopped_jobs: must be "terminated" or "signalled", not "kill"'
    ):
        quirks.stopped_jobs = "kill"
    with pytest.raises(ValueError, match=r"Quirks.listing_delay: must be a number of at least 0, not nan"):
        Quirks(listing_delay=float("nan"))
    with pytest.raises(ValueError, match=r"Quirks.retry_after: must be true or false, not 1"):
        quirks.retry_after = 1
    with pytest.raises(ValueError, match=r'Quirks.immutable_properties: must be a list, not "host"'):
        quirks.immutable_properties = "host"
    with pytest.raises(AttributeError):
        quirks.stop_second = 1

    assert quirks == Quirks()
    for field in fields(Quirks):
        setattr(quirks, field.name, field.default)
