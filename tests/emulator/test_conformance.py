"""Requests made up from the emulator's own description find no answer that breaks it, and no 5xx.

The requests are the same in every run: those that schemathesis works out from the schemas, and a few random
ones. They keep to the description, or break it in one way, and must then be refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, openapi
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    ensure_resource_availability,
    positive_data_acceptance,
    unsupported_method,
    use_after_free,
)

from airflow_provider_stitch.emulator.description import describe
from airflow_provider_stitch.emulator.routes import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_stitch.emulator import StitchEmulator
    from airflow_provider_stitch.emulator.routes import Endpoint

SCHEMA = openapi.from_dict(describe(ENDPOINTS))
#: Stitch answers 404, not 405, to a method that an endpoint does not allow; what it deletes softly stays; and
#: it may refuse what is well-formed, such as an unknown partner.
NOT_FOR_STITCH = [
    unsupported_method,
    use_after_free,
    ensure_resource_availability,
    positive_data_acceptance,
]
EXAMPLES = 5
KEPT = [pytest.param(e, GenerationMode.POSITIVE, id=f"{e.method} {e.path} kept") for e in ENDPOINTS]
BROKEN = [
    pytest.param(e, GenerationMode.NEGATIVE, id=f"{e.method} {e.path} broken")
    for e in ENDPOINTS
    if e.body is not None or "{" in e.path
]


@dataclass
class World:
    """An account with one of everything, a session with its token, and where everything is to be found."""

    url: str
    session: requests.Session
    ids: dict[str, Any]

    def place(self, path: str) -> dict[str, Any]:
        """What to put into a path, so that there is something."""
        kind = path.rpartition("/v1/api/")[2].partition("/")[0] or "tokens" * path.count("/tokens")
        names = re.findall(r"\{(\w+)\}", path)
        return {name: self.ids.get(f"{name} of {kind}", self.ids.get(name)) for name in names}

    def ask(self, case: Case) -> None:
        """Send a request, and hold the answer against the description."""
        answer = case.call(base_url=self.url, session=self.session, allow_redirects=False)
        case.validate_response(answer, excluded_checks=NOT_FOR_STITCH)


@pytest.fixture
def world(stitch: StitchEmulator) -> Iterator[World]:
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
        yield World(stitch.url, session, ids)


@pytest.mark.parametrize(("endpoint", "mode"), [*KEPT, *BROKEN])
def test_no_answer_breaks_the_description(world: World, endpoint: Endpoint, mode: GenerationMode) -> None:
    operation = SCHEMA[endpoint.path][endpoint.method]
    place = world.place(endpoint.path)
    settled = {"max_examples": EXAMPLES, "derandomize": True, "database": None, "deadline": None}

    @settings(**settled, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def ask_at_random(case: Case, known: bool) -> None:
        world.ask(_at(place, case) if known else case)

    config = SCHEMA.config.generation_for(operation=operation)
    for case in SCHEMA.iter_coverage_cases(operation, generation_modes=[mode], generation_config=config):
        world.ask(_at(place, case))
    ask_at_random()


def _at(place: dict[str, Any], case: Case) -> Case:
    """The same request for something that exists, as made-up ids lead nowhere; not if the path is broken."""
    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if place and (path is None or path.mode is GenerationMode.POSITIVE):
        case.path_parameters = dict(place)
    return case
