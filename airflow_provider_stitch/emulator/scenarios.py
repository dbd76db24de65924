"""Scenario files, which describe an emulated account with its sources, streams, jobs and failures.

The classes in this module define the format of a scenario file. Each field is a key in the file, and the
annotation of the field defines the allowed values.
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
    """A job that has already ended, with its loads. This object can contain any key of a job plan."""

    seconds_ago: float = 300.0  #: seconds since the job ended


@dataclass(frozen=True)
class LoadOutage:
    """A period in which all loads of a stream fail. The period lasts until a test clears the error."""

    stream: str  #: the stream's `tap_stream_id`
    message: str = "establish a connection to your data warehouse"  #: error message of the destination
    seconds_ago: float = 0.0  #: number of seconds since the loads started to fail


@dataclass(frozen=True)
class PastLoad:
    """A load without a job, such as a load for an Import API source."""

    stream: str  #: the stream's `tap_stream_id`
    seconds_ago: float = 0.0  #: number of seconds since the load


@dataclass(frozen=True)
class ScenarioSource:
    """A source, with its streams and jobs."""

    name: str  #: unique name of the source, which is also the name of the schema in the destination
    #: The streams of the source, by `tap_stream_id`. The value of each key is the number of rows that each
    #: job extracts, or a mapping.
    streams: Mapping[str, int | EmulatedStream]
    type: str = "platform.github"  #: a documented type, a webhook type, or a key of `new_sources`
    display_name: str | None = None  #: name that Stitch displays; if null, the same as `name`
    id: int | None = None  #: id of the source; if null, the next free id
    #: Interval between scheduled jobs in minutes. The first job starts after one interval. In the
    #: `properties`, `cron_expression` takes precedence, and from 60 minutes also `anchor_time`. If null, the
    #: source has no scheduled jobs.
    schedule_minutes: float | None = None
    #: Properties of the source, such as `cron_expression` and `anchor_time`. Numbers, booleans and times are
    #: stored as strings, as in Stitch.
    properties: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the source is paused by a user or by Stitch itself.
    paused: bool | Literal["by_stitch"] = False
    deleted: bool = False  #: whether the source is deleted
    current_step: str = "fully_configured"  #: configuration step, such as `form` or `field_selection`
    #: Connection check that starts now; if null, the last check succeeded a day ago.
    check: CheckPlan | None = None
    job: JobPlan = field(default_factory=JobPlan)  #: plan for every job, for example for jobs that fail
    #: Plans for the next jobs, one plan per job. All later jobs use the plan in `job`.
    next_jobs: Sequence[JobPlan] = ()
    past_jobs: Sequence[PastJob] = ()  #: jobs that have ended; they must not overlap
    past_loads: Sequence[PastLoad] = ()  #: loads without a job
    load_errors: Sequence[LoadOutage] = ()  #: streams whose loads fail
    running: bool = False  #: whether a job starts immediately


@dataclass(frozen=True)
class ScenarioDestination:
    """A destination."""

    type: str = "postgres"  #: type of the destination, such as `snowflake`
    name: str | None = None  #: name of the destination; if null, the name is derived from the type
    properties: Mapping[str, Any] = field(default_factory=dict)  #: properties of the destination
    #: Connection check that starts now; if null, the destination is already connected.
    check: CheckPlan | None = None


@dataclass(frozen=True)
class NewSources:
    """Sources of one type that are created through the API."""

    #: The streams that discovery finds, in the same form as for a source. If null, the default streams of the
    #: type are used.
    streams: Mapping[str, int | EmulatedStream] | None = None
    job: JobPlan | None = None  #: plan for every job of these sources
    check: CheckPlan | None = None  #: plan for the first connection check of the first source with this type


@dataclass(frozen=True)
class Features:
    """The features of the account's pricing plan."""

    cron: bool = True  #: whether the pricing plan includes cron schedules
    hooks: bool = True  #: whether the pricing plan includes post-load hooks
    custom_emails: bool = True  #: whether the pricing plan includes custom e-mail addresses
    max_destinations: int = 3  #: maximum number of destinations
    excluded_source_types: Sequence[str] = ()  #: source types that the pricing plan excludes
    excluded_destination_types: Sequence[str] = ()  #: destination types that the pricing plan excludes


#: The HTTP methods of Stitch's API.
_METHODS = ("GET", "POST", "PUT", "DELETE")


@dataclass(frozen=True)
class Failure:
    """Requests that fail. By default, the response is a 500 error."""

    method: str | None = None  #: HTTP method of the requests, such as `GET`; if null, every method matches
    #: Regular expression to search in the path and query. If null, every path matches.
    path: str | None = None
    times: int | Literal["all"] = 1  #: number of requests that fail, or `all`
    status: int | None = None  #: HTTP status of the response
    body: Any = None  #: body of the response; a value other than a string is sent as JSON
    headers: Mapping[str, str] | None = None  #: HTTP headers of the response
    after_effect: bool = False  #: whether Stitch processes the request before its response is lost
    delay: float = 0.0  #: real seconds until the response
    #: Whether to close the connection without a response; `mid-body` closes it in the middle of the body.
    cut: bool | Literal["mid-body"] = False
    garbage: bool | str = False  #: body that is not JSON; if true, the HTML page of a gateway is sent
    drip: float | None = None  #: real seconds between two bytes of the body
    host: Literal["api", "log"] = "api"  #: host of the requests: the API, or the host that serves logs

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
    #: The destinations of the account. The default is one destination of type `postgres`.
    destinations: Sequence[ScenarioDestination] | None = None
    failures: Sequence[Failure] = ()  #: faults that make requests fail
    #: Sources that are created through the API, by type. Types that Stitch does not document are allowed.
    new_sources: Mapping[str, NewSources] = field(default_factory=dict)
    features: Features = field(default_factory=Features)  #: features of the account's pricing plan
    quirks: Quirks = field(default_factory=Quirks)  #: behavior that Stitch does not document
    enforce_limit: bool = False  #: whether requests above the limit of 30 requests in 10 minutes return 429
    #: Number of virtual seconds per real second. The default speed is 60 on the command line and 1 in Python.
    speed: float | None = None
    start: datetime | None = None  #: initial virtual time; if null, the current real time
    access_token: str | None = None  #: access token of the account; if null, a random token
    client_id: int | None = None  #: client ID of the account; if null, 104857


def load_scenario(path: str | Path, *, default_speed: float = 1.0, **options: Any) -> StitchEmulator:
    """Create an emulator with the account that a scenario file describes, without starting the emulator.

    :param path: a file in YAML (`.yaml`, `.yml`) or TOML (`.toml`).
    :param default_speed: virtual seconds per real second, if neither the file nor an option sets `speed`.
    :param options: arguments of `StitchEmulator`, which take precedence over the file.
    :raises ScenarioError: if the file is invalid. For each problem, the error message contains the key and
        the allowed values.
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
    """Return the validated content of a scenario file.

    :raises ScenarioError: if the file is invalid, as in `load_scenario`.
    """
    reader = ValueReader()
    scenario: Scenario = reader.read(read_file(path), Scenario, "")
    if reader.problems:
        raise ScenarioError(path, reader.problems)
    return scenario


@contextmanager
def _problems_of(path: str | Path, key: str) -> Iterator[None]:
    """Raise ScenarioError if the emulator rejects a value in the scenario file."""
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
    """Add the past jobs, past loads and load errors of a source."""
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
