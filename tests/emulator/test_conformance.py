"""Test that responses to generated requests match the OpenAPI description and never have a 5xx status.

The requests are the same in every run. Schemathesis derives most requests from the schemas and adds a few
random requests. A request either matches the OpenAPI description, or violates it in one way and must
cause an error response.

Each test imports schemathesis itself, because the import is slow and not every pytest process runs these
tests.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_stitch.emulator.server.openapi import describe
from airflow_provider_stitch.emulator.server.routes.table import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemathesis import Case

    from airflow_provider_stitch.emulator import StitchEmulator
    from airflow_provider_stitch.emulator.server.routes.endpoint import Endpoint

EXAMPLES = 5
VALID = [pytest.param(e, "positive", id=f"{e.method} {e.path} valid") for e in ENDPOINTS]
# These paths accept any string as a type, so schemathesis cannot generate an invalid request.
ONLY_TEXT = ("/v4/destination-types/{destination_type}", "/v4/source-types/{source_type}")
INVALID = [
    pytest.param(e, "negative", id=f"{e.method} {e.path} invalid")
    for e in ENDPOINTS
    if e.body is not None or ("{" in e.path and e.path not in ONLY_TEXT)
]


@functools.cache
def schema() -> Any:
    """Return the emulator's OpenAPI description, loaded by schemathesis.

    The function removes the key `security`. With the key `security`, schemathesis could generate requests
    that are invalid only because of their `Authorization` header. The HTTP session replaces an invalid
    `Authorization` header, so the emulator would accept the requests.
    """
    from schemathesis import openapi

    description = describe(ENDPOINTS)
    del description["security"]
    return openapi.from_dict(description)


@functools.cache
def checks_not_for_stitch() -> list[Callable[..., Any]]:
    """Return the schemathesis checks that Stitch's own API would not pass.

    Stitch responds to unsupported methods with 404 instead of 405, and continues to return deleted objects.
    Stitch rejects some valid requests, for example requests from an unknown partner.
    """
    from schemathesis.specs.openapi.checks import (
        ensure_resource_availability,
        positive_data_acceptance,
        unsupported_method,
        use_after_free,
    )

    return [unsupported_method, use_after_free, ensure_resource_availability, positive_data_acceptance]


@dataclass
class Tenant:
    """An account that contains one object of each kind, with an HTTP session and the ids of all objects."""

    url: str
    session: requests.Session
    ids: dict[str, Any]

    def path_parameters(self, path: str) -> dict[str, Any]:
        """Return path parameters that refer to existing objects."""
        kind = path.rpartition("/v1/api/")[2].partition("/")[0] or "tokens" * path.count("/tokens")
        names = re.findall(r"\{(\w+)\}", path)
        return {name: self.ids.get(f"{name} of {kind}", self.ids.get(name)) for name in names}

    def send(self, case: Case) -> None:
        """Send a request and validate its response."""
        response = case.call(base_url=self.url, session=self.session, allow_redirects=False)
        case.validate_response(response, excluded_checks=checks_not_for_stitch())


@pytest.fixture
def tenant(stitch: StitchEmulator) -> Iterator[Tenant]:
    github = stitch.add_source("github", streams={"commits": 120})
    events = stitch.add_source("events", type="import_api", streams={"events": 0})
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {stitch.access_token}"
        emails = f"{stitch.url}/notifications/public/v1/api/custom-emails"
        ids = {
            "stitch_client_id": stitch.client_id,
            "source_id": github,
            "source_id of tokens": events,
            "token_id": session.post(f"{stitch.url}/v4/sources/{events}/tokens").json()["id"],
            "destination_id": 155901,
            "stream_id": session.get(f"{stitch.url}/v4/sources/{github}/streams").json()[0]["stream_id"],
            "source_type": "platform.github",
            "destination_type": "s3",
            "job_name": stitch.complete_job(github).job_name,
            "id of custom-emails": session.post(emails, json={"email_address": "a@b.example"}).json()["id"],
            "id of hooks": stitch.add_hook("https://hooks.acme.example/stitch"),
        }
        yield Tenant(stitch.url, session, ids)


@pytest.mark.parametrize(("endpoint", "mode_name"), [*VALID, *INVALID])
def test_responses_match_the_openapi_description(tenant: Tenant, endpoint: Endpoint, mode_name: str) -> None:
    from schemathesis import GenerationMode

    mode = GenerationMode(mode_name)
    operation = schema()[endpoint.path][endpoint.method]
    known_ids = tenant.path_parameters(endpoint.path)
    settled = {"max_examples": EXAMPLES, "derandomize": True, "database": None, "deadline": None}

    @settings(**settled, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def send_random_cases(case: Case, known: bool) -> None:
        tenant.send(_with_ids(known_ids, case) if known else case)

    config = schema().config.generation_for(operation=operation)
    for case in schema().iter_coverage_cases(operation, generation_modes=[mode], generation_config=config):
        tenant.send(_with_ids(known_ids, case))
    send_random_cases()


def _with_ids(known_ids: dict[str, Any], case: Case) -> Case:
    """Insert ids of existing objects into a request, unless the test requires an invalid path."""
    from schemathesis import GenerationMode
    from schemathesis.core.parameters import ParameterLocation

    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if known_ids and (path is None or path.mode is GenerationMode.POSITIVE):
        case.path_parameters = dict(known_ids)
    return case
