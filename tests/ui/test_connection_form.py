"""Test the connection form and the Test button on Airflow's pages."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator
    from local_airflow.rest import AirflowApi

_numbers = itertools.count(1)


@pytest.fixture
def form(page: Page) -> Locator:
    """The form for a new connection with the type Stitch."""
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox").fill("stitch")
    page.get_by_role("option", name="stitch").click()
    return form


def test_form_shows_exactly_our_fields_and_labels(form: Locator, page: Page, screenshot) -> None:
    form.get_by_label("Connection ID").fill("stitch_default")
    screenshot("connection")
    standard = _labels(form)

    form.get_by_role("button", name="Extra Fields", exact=True).click()
    expect(form.locator("#element_partner_id")).to_be_visible()
    expect(form.get_by_label("API access token")).to_be_hidden()  # opening one section closes the others

    common = ["Connection ID", "Connection Type"]
    assert standard == [
        *common,
        "Description",
        "API base URL (optional)",
        "Client ID (optional)",
        "API access token",
    ]
    assert _labels(form) == [
        *common,
        "Partner ID",
        "Partner secret",
        "Request timeout (s)",
        "Status requests per 10 minutes",
        "Redis connection",
        "Webhook secret",
    ]


def _labels(form: Locator) -> list[str]:
    return [text.rstrip(" *\n") for text in form.locator("label:visible").all_inner_texts()]


def test_secrets_are_masked(form: Locator) -> None:
    expect(form.get_by_label("API access token")).to_have_attribute("type", "password")
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for name in ("partner_id", "partner_secret", "webhook_secret"):
        expect(form.locator(f"#element_{name}")).to_have_attribute("type", "password")


def test_airflow_always_shows_the_extra_as_json(form: Locator) -> None:
    """The documentation page connection.md describes this behavior."""
    expect(form.get_by_role("button", name="Extra Fields JSON")).to_be_visible()


UNREACHABLE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("token", "host", "title", "message"),
    [
        pytest.param(
            None,
            None,
            "Test Connection Successful",
            "Connected to Stitch account 104857: 3 sources, 1 of them paused.",
            id="the account's summary",
        ),
        pytest.param("ac_wrong", None, "Test Connection Failed", "Stitch rejected", id="a wrong token"),
        pytest.param(
            "oc_partner",
            None,
            "Test Connection Failed",
            "begins with oc_, so it is a partner credential",
            id="a partner credential",
        ),
        pytest.param(None, UNREACHABLE, "Test Connection Failed", UNREACHABLE, id="an unreachable host"),
    ],
)
def test_test_button_shows_the_result(
    token,
    host,
    title,
    message,
    form: Locator,
    page: Page,
    stitch: StitchEmulator,
    api: AirflowApi,
    screenshot,
) -> None:
    name = _add(form, host or stitch.url, token or stitch.access_token)
    api.set_port(name, 443)  # see test_airflow_cannot_test_a_connection_without_a_port
    page.reload()

    result = _test(page, name)

    expect(result).to_contain_text(title)
    expect(result).to_contain_text(message)
    if token is None and host is None:
        screenshot("connection_test")


def test_airflow_cannot_test_a_connection_without_a_port(
    form: Locator, page: Page, stitch: StitchEmulator
) -> None:
    """Airflow 3.3.1 and 3.3.2 send port 0 if no port is set, and then treat the host as changed.

    The documentation page connection.md describes this bug. If this test fails, Airflow has fixed the bug. In
    this case, remove `set_port` and the note on the page.
    """
    name = _add(form, stitch.url, stitch.access_token)

    expect(_test(page, name)).to_contain_text("Bad Request")


def _add(form: Locator, host: str, token: str) -> str:
    """Fill in the connection form, save it, and return the connection id."""
    name = f"stitch_{next(_numbers)}"
    form.get_by_label("Connection ID").fill(name)
    form.get_by_label("API base URL (optional)").fill(host)
    form.get_by_label("API access token").fill(token)
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    return name


def _test(page: Page, name: str) -> Locator:
    """Click the Test button of a connection, and return the result that Airflow shows."""
    row = page.get_by_role("row").filter(has_text=name)
    row.get_by_role("button", name="Test Connection").click()
    return page.get_by_role("status").filter(has_text="Test Connection")
