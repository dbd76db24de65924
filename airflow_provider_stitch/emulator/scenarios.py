"""Scenarios: files that describe an emulated account, with its sources, streams, jobs and failures.

The classes define the format of a file. Their fields are its keys, and the annotations of the fields define
which values are allowed.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stitch.emulator.emulator import StitchEmulator
from airflow_provider_stitch.emulator.model.plans import CheckPlan, EmulatedStream, JobPlan
from airflow_provider_stitch.emulator.model.quirks import Quirks
from airflow_provider_stitch.emulator.scenario_file import ScenarioError, read_file
from airflow_provider_stitch.emulator.values import ValueReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True)
class PastJob(JobPlan):
    """A job that has already ended, with its loads. It has the keys of a job, and one more."""

    seconds_ago: float = 300.0  #: time since the job ended


@dataclass(frozen=True)
class LoadOutage:
    """The destination refuses the rows of a stream until a test clears the error."""

    stream: str  #: the stream's `tap_stream_id`
    message: str = "establish a connection to your data warehouse"  #: error message of the destination
    seconds_ago: float = 0.0  #: time since the first refused load


@dataclass(frozen=True)
class PastLoad:
    """A load without a job, such as that of an Import API source."""

    stream: str  #: the stream's `tap_stream_id`
    seconds_ago: float = 0.0  #: time since the load


@dataclass(frozen=True)
class ScenarioSource:
    """A source, with its streams and jobs."""

    name: str  #: unique name, which is the schema in the destination
    #: The streams by `tap_stream_id`: a number of rows that each job extracts, or a mapping.
    streams: Mapping[str, int | EmulatedStream]
    type: str = "platform.github"  #: a documented type, a webhook, or a key of `new_sources`
    display_name: str | None = None  #: label in Stitch; null: the name
    id: int | None = None  #: id of the source; null: the next free one
    #: Minutes between scheduled jobs, and until the first one; null: only `cron_expression` in the
    #: `properties` starts jobs.
    schedule_minutes: float | None = None
    #: Properties in Stitch, such as `cron_expression` and `anchor_time`. Numbers, booleans and times become
    #: strings, as in Stitch.
    properties: Mapping[str, Any] = field(default_factory=dict)
    paused: bool | Literal["by_stitch"] = False  #: whether a user, or Stitch itself, has paused the source
    deleted: bool = False  #: whether the source is deleted
    current_step: str = "fully_configured"  #: step of its configuration, such as `form` or `field_selection`
    check: CheckPlan | None = None  #: a connection check that starts now; null: one succeeded a day ago
    job: JobPlan = field(default_factory=JobPlan)  #: the course of every job, such as a failure
    next_jobs: Sequence[JobPlan] = ()  #: the course of the next jobs, before `job` applies
    past_jobs: Sequence[PastJob] = ()  #: jobs that have ended; they must not overlap
    past_loads: Sequence[PastLoad] = ()  #: loads without a job
    load_errors: Sequence[LoadOutage] = ()  #: streams that the destination refuses
    running: bool = False  #: whether a job starts now


@dataclass(frozen=True)
class ScenarioDestination:
    """A destination."""

    type: str = "postgres"  #: type in Stitch, such as `snowflake`
    name: str | None = None  #: name of the destination; null: derived from the type
    properties: Mapping[str, Any] = field(default_factory=dict)  #: properties in Stitch
    check: CheckPlan | None = None  #: a connection check that starts now; null: already connected


@dataclass(frozen=True)
class NewSources:
    """Sources of one type that a client creates through the API."""

    #: The streams that discovery finds, as in a source. null: the default streams of the type.
    streams: Mapping[str, int | EmulatedStream] | None = None
    job: JobPlan | None = None  #: the course of every job of these sources
    check: CheckPlan | None = None  #: the first connection check of the first of these sources


@dataclass(frozen=True)
class Features:
    """The features of the account's plan."""

    cron: bool = True  #: whether sources may have cron schedules
    hooks: bool = True  #: whether the account may have post-load hooks
    custom_emails: bool = True  #: whether the account may have custom e-mail addresses
    max_destinations: int = 3  #: maximum number of destinations
    excluded_source_types: Sequence[str] = ()  #: source types that the plan does not include
    excluded_destination_types: Sequence[str] = ()  #: destination types that the plan does not include


#: The HTTP methods of Stitch's API.
_METHODS = ("GET", "POST", "PUT", "DELETE")


@dataclass(frozen=True)
class Failure:
    """Requests that fail. Without further keys the response is a 500."""

    method: str | None = None  #: HTTP method, such as `GET`; null: every method
    path: str | None = None  #: regular expression to search in path and query; null: every path
    times: int | Literal["all"] = 1  #: number of requests that fail
    status: int | None = None  #: HTTP status of the response
    body: Any = None  #: body of the response: a string, or a value to send as JSON
    headers: Mapping[str, str] | None = None  #: headers of the response
    after_effect: bool = False  #: whether the request takes effect before its response is lost
    delay: float = 0.0  #: real seconds until the response
    #: Whether to close the connection, before or in the middle of the body.
    cut: bool | Literal["mid-body"] = False
    garbage: bool | str = False  #: whether to send a gateway's HTML page, or the text to send
    drip: float | None = None  #: real seconds between two parts of the body
    host: Literal["api", "log"] = "api"  #: the API, or the host of extraction logs

    def __post_init__(self) -> None:
        if self.method is not None and self.method.upper() not in _METHODS:
            raise ValueError(f"method must be one of {', '.join(_METHODS)}, not {self.method!r}.")
        if self.status is not None and not 100 <= self.status <= 599:
            raise ValueError(f"status must be an HTTP status from 100 to 599, not {self.status}.")
        try:
            re.compile(self.path or "")
        except re.error as error:
            raise ValueError(f"path must be a regular expression: {error}.") from error


@dataclass(frozen=True)
class Scenario:
    """A scenario file. Every key is optional."""

    sources: Sequence[ScenarioSource] = ()  #: the sources of the account
    destinations: Sequence[ScenarioDestination] | None = None  #: null: one of type `postgres`
    failures: Sequence[Failure] = ()  #: requests that fail
    #: By type: the sources that a client creates through the API. Types that Stitch does not document are
    #: allowed here.
    new_sources: Mapping[str, NewSources] = field(default_factory=dict)
    features: Features = field(default_factory=Features)  #: features of the account's plan
    quirks: Quirks = field(default_factory=Quirks)  #: behaviour that Stitch does not document
    enforce_limit: bool = False  #: whether more than 30 limited requests in 10 minutes return 429
    #: Seconds of Stitch's time per real second. null: 60 on the command line, 1 in Python.
    speed: float | None = None
    start: datetime | None = None  #: initial time of Stitch's clock; null: the real time
    access_token: str | None = None  #: access token of the account; null: a random one
    client_id: int | None = None  #: client ID of the account; null: 104857


def load_scenario(path: str | Path, *, default_speed: float = 1.0, **options: Any) -> StitchEmulator:
    """Return an emulator with the account that a file describes. It does not listen yet.

    :param path: a file in YAML (`.yaml`, `.yml`) or TOML (`.toml`).
    :param default_speed: seconds of Stitch's time per real second, unless the file or an option sets it.
    :param options: arguments of `StitchEmulator`, which take precedence over the file.
    :raises ScenarioError: if the file is invalid. The message lists its problems: key, and what is allowed.
    """
    scenario = read_scenario(path)
    own = {name: getattr(scenario, name) for name in ("speed", "start", "access_token", "client_id")}
    given = {name: value for name, value in {**own, **options}.items() if value is not None}
    with _problems_of(path, ""):
        emulator = StitchEmulator(**{"quirks": scenario.quirks, "speed": default_speed, **given})
    for name, new in scenario.new_sources.items():
        with _problems_of(path, f"new_sources.{name}"):
            emulator.plan_new_sources(name, streams=new.streams, job=new.job, check=new.check)
    with _problems_of(path, "features"):
        _set_features(emulator, scenario.features)
    if scenario.destinations is not None:
        emulator.delete_destinations()
    for number, each in enumerate(scenario.destinations or ()):
        with _problems_of(path, f"destinations[{number}]"):
            emulator.add_destination(each.type, name=each.name, properties=each.properties, check=each.check)
    for number, source in enumerate(scenario.sources):
        _add_source(emulator, source, path, f"sources[{number}]")
    for number, failure in enumerate(scenario.failures):
        with _problems_of(path, f"failures[{number}]"):
            _add_failure(emulator, failure)
    emulator.enforce_limit(scenario.enforce_limit)
    return emulator


def read_scenario(path: str | Path) -> Scenario:
    """Return the content of a file.

    :raises ScenarioError: as `load_scenario` does.
    """
    reader = ValueReader()
    scenario: Scenario = reader.read(read_file(path), Scenario, "")
    if reader.problems:
        raise ScenarioError(path, reader.problems)
    return scenario


@contextmanager
def _problems_of(path: str | Path, key: str) -> Iterator[None]:
    """Raise a ScenarioError for a value that the emulator refuses."""
    try:
        yield
    except ValueError as error:
        raise ScenarioError(path, [f"{key or 'the file'}: {error}"]) from error
    except OverflowError as error:
        reason = "a number of seconds is too large for a time"
        raise ScenarioError(path, [f"{key or 'the file'}: {reason}"]) from error


def _set_features(emulator: StitchEmulator, features: Features) -> None:
    emulator.allow_cron(features.cron)
    emulator.allow_hooks(features.hooks)
    emulator.allow_custom_emails(features.custom_emails)
    emulator.limit_destinations(features.max_destinations)
    for source_type in features.excluded_source_types:
        emulator.allow_source_type(source_type, allowed=False)
    for destination_type in features.excluded_destination_types:
        emulator.allow_destination_type(destination_type, allowed=False)


def _add_source(emulator: StitchEmulator, source: ScenarioSource, path: str | Path, key: str) -> None:
    with _problems_of(path, key):
        source_id = emulator.add_source(
            source.name,
            streams=source.streams,
            type=source.type,
            display_name=source.display_name,
            source_id=source.id,
            schedule_minutes=source.schedule_minutes,
            properties=source.properties,
            paused=source.paused is True,
            current_step=source.current_step,
            check=source.check,
            job=source.job,
        )
    _add_history(emulator, source, source_id, path, key)
    for number, job in enumerate(source.next_jobs):
        with _problems_of(path, f"{key}.next_jobs[{number}]"):
            emulator.plan_next_job(source_id, job)
    if source.running:
        with _problems_of(path, f"{key}.running"):
            emulator.start_job(source_id)
    if source.paused == "by_stitch":
        emulator.pause_source(source_id, by_stitch=True)
    if source.deleted:
        emulator.delete_source(source_id)


def _add_history(
    emulator: StitchEmulator, source: ScenarioSource, source_id: int, path: str | Path, key: str
) -> None:
    """Add the jobs, loads and load errors of a source that lie in the past."""
    for number, past in sorted(enumerate(source.past_jobs), key=lambda each: -each[1].seconds_ago):
        with _problems_of(path, f"{key}.past_jobs[{number}]"):
            emulator.complete_job(source_id, past, seconds_ago=past.seconds_ago)
    for number, load in enumerate(source.past_loads):
        with _problems_of(path, f"{key}.past_loads[{number}]"):
            emulator.record_load(source_id, load.stream, seconds_ago=load.seconds_ago)
    for number, outage in enumerate(source.load_errors):
        with _problems_of(path, f"{key}.load_errors[{number}]"):
            emulator.set_load_error(source_id, outage.stream, outage.message, seconds_ago=outage.seconds_ago)


def _add_failure(emulator: StitchEmulator, failure: Failure) -> None:
    emulator.fail(
        failure.method,
        failure.path,
        None if failure.times == "all" else failure.times,
        status=failure.status,
        body=failure.body,
        headers=failure.headers,
        after_effect=failure.after_effect,
        delay=failure.delay,
        cut=failure.cut,
        garbage=failure.garbage,
        drip=failure.drip,
        host=failure.host,
    )
