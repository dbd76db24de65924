"""Test custom e-mail addresses and hooks, including all documented errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api

EMAILS = "/notifications/public/v1/api/custom-emails"
HOOKS = "/notifications/public/v1/api/hooks"
URL = "https://hooks.acme.example/stitch"
NOW = "2026-08-17T06:00:02Z"
INVALID_EMAIL = {"error": {"message": {"email_address": "Required. Must be valid email address format."}}}
INVALID_POST = {"data": {"message": "Invalid POST body"}, "error": "InvalidBody"}
INVALID_PUT = {"data": {"message": "PUT body must only contain boolean 'enable' key"}, "error": "InvalidBody"}


def add_email(api: Api, address: str = "alerts@acme.example") -> Any:
    response = api("POST", EMAILS, json={"email_address": address})
    assert response.status_code == 200, response.text
    return response.json()


def hook(**changes: Any) -> dict[str, Any]:
    return {"type": "post_load", "destination_id": 155901, "config": {"url": URL}, **changes}


def add_hook(api: Api) -> Any:
    response = api("POST", HOOKS, json=hook())
    assert response.status_code == 200, response.text
    return response.json()


# Custom e-mails


def test_custom_email_matches_the_documented_sample(api: Api, stitch: StitchEmulator) -> None:
    email = add_email(api)
    assert email == {
        "id": 22,
        "client_id": 104857,
        "email_address": "alerts@acme.example",
        "created_at": NOW,
        "disabled_at": None,
    }
    assert api.get(EMAILS) == [email]
    stitch.quirks.email_modified_at = True
    assert api.get(EMAILS) == [{**email, "modified_at": NOW}]


@pytest.mark.parametrize("value", ["2026-08-17T00:00:00Z", "2030-01-01", "2026-08-17T02:00:00.25+02:00"])
def test_email_is_disabled_immediately_whatever_the_given_time(api: Api, value: str) -> None:
    path = f"{EMAILS}/{add_email(api)['id']}"
    assert api("PUT", path, json={"disabled_at": value}).json() == {"disabled_at": value}
    (disabled,) = api.get(EMAILS)
    assert disabled["disabled_at"] in ("2026-08-17T00:00:00Z", "2030-01-01T00:00:00Z")
    assert api("PUT", path, json={"disabled_at": None}).json() == {"disabled_at": None}
    assert api.get(EMAILS)[0]["disabled_at"] is None


def test_deletion_returns_the_number_of_deleted_emails(api: Api) -> None:
    path = f"{EMAILS}/{add_email(api)['id']}"
    assert api("DELETE", path).json() == [1]
    assert api("DELETE", path).json() == [0]
    assert api.get(EMAILS) == []


@pytest.mark.parametrize(
    "body", [{}, {"email_address": "no"}, {"email_address": 7}, {"email_address": "a@b"}, [], "x", None]
)
def test_n1_address_must_be_valid(api: Api, body: Any) -> None:
    response = api("POST", EMAILS, json=body)
    assert (response.status_code, response.json()) == (400, INVALID_EMAIL)


def test_n2_account_has_at_most_ten_addresses(api: Api) -> None:
    for number in range(10):
        add_email(api, f"alerts{number}@acme.example")
    response = api("POST", EMAILS, json={"email_address": "more@acme.example"})
    message = "Account not authorized to create additional custom notification email addresses."
    assert (response.status_code, response.json()) == (400, {"error": {"message": message}})


def test_n3_plan_can_exclude_addresses(api: Api, stitch: StitchEmulator) -> None:
    stitch.allow_custom_emails(allowed=False)
    response = api("POST", EMAILS, json={"email_address": "a@acme.example"})
    message = "Account not authorized to create custom notification email addresses."
    assert (response.status_code, response.json()) == (400, {"error": {"message": message}})


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param({"disabled_at": "soon"}, "soon", id="not a time"),
        pytest.param({"disabled_at": 7}, 7, id="number"),
        pytest.param({"disabled_at": "0001-01-01T00:00+14:00"}, "0001-01-01T00:00+14:00", id="too early"),
        pytest.param({}, None, id="missing"),
        pytest.param([], None, id="not an object"),
    ],
)
def test_n4_error_response_looks_like_a_success(api: Api, body: Any, shown: Any) -> None:
    response = api("PUT", f"{EMAILS}/{add_email(api)['id']}", json=body)
    assert (response.status_code, response.json()) == (400, {"disabled_at": shown})


@pytest.mark.parametrize("path", [f"{EMAILS}/7", f"{EMAILS}/x", EMAILS, f"{EMAILS}/"])
def test_n5_unknown_or_missing_id_is_a_404_with_a_body(api: Api, path: str) -> None:
    response = api("PUT", path, json={"disabled_at": None})
    assert (response.status_code, response.json()) == (404, {"status": "NOT FOUND"})


# Hooks


def test_hook_matches_the_documented_sample(api: Api) -> None:
    created = add_hook(api)
    assert created == {
        "id": 8,
        "client_id": 104857,
        "type": "post_load",
        "version": 1,
        "destination_id": 155901,
        "config": {"url": URL},
        "created_at": NOW,
        "modified_at": NOW,
        "disabled_at": None,
    }
    del created["destination_id"]  # only the response to a creation request contains this key
    assert api.get(HOOKS) == {"post_load": [created]}


@pytest.mark.parametrize("where", ["top", "config"])
def test_hook_contains_its_destination_elsewhere_with_quirk(
    api: Api, stitch: StitchEmulator, where: Any
) -> None:
    stitch.quirks.hook_destination = where
    created = add_hook(api)
    assert api.get(HOOKS) == {"post_load": [created]}
    place = created if where == "top" else created["config"]
    assert place["destination_id"] == (155901 if where == "top" else "destination_155901")


def test_hook_can_be_disabled_and_enabled(api: Api, stitch: StitchEmulator) -> None:
    path = f"{HOOKS}/{add_hook(api)['id']}"
    stitch.advance(60)
    disabled = api("PUT", path, json={"enable": False}).json()
    assert (disabled["disabled_at"], disabled["modified_at"]) == ("2026-08-17T06:01:02Z",) * 2
    assert api("PUT", path, json={"enable": True}).json()["disabled_at"] is None


def test_deletion_of_a_hook_returns_null(api: Api) -> None:
    response = api("DELETE", f"{HOOKS}/{add_hook(api)['id']}")
    assert (response.status_code, response.text) == (200, "null")
    assert api.get(HOOKS) == {"post_load": []}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"type": "post_load", "destination_id": 155901}, id="no config"),
        pytest.param(hook(config={}), id="no url"),
        pytest.param(hook(config={"url": URL, "x": 1}), id="unknown key in config"),
        pytest.param(hook(x=1), id="unknown key"),
        pytest.param(hook(type="pre_load"), id="another type"),
        pytest.param(hook(destination_id="155901"), id="destination as a string"),
        pytest.param(hook(destination_id=True), id="destination true"),
        pytest.param(hook(destination_id=1), id="unknown destination"),
        pytest.param(hook(config={"url": "http://hooks.acme.example/"}), id="plain http elsewhere"),
        pytest.param(hook(config={"url": "ftp://localhost/"}), id="another scheme"),
        pytest.param(hook(config={"url": "https://"}), id="no host"),
        pytest.param(hook(config={"url": "https://localhost:x/"}), id="invalid port"),
        pytest.param(hook(config={"url": "https://localhost/ \r\nX: y"}), id="header injection"),
        pytest.param(hook(config={"url": 7}), id="url is not a string"),
        pytest.param([], id="not an object"),
    ],
)
def test_h1_hook_requires_type_destination_and_url(api: Api, body: Any) -> None:
    response = api("POST", HOOKS, json=body)
    assert (response.status_code, response.json()) == (400, INVALID_POST)


def test_h2_plan_can_exclude_hooks(api: Api, stitch: StitchEmulator) -> None:
    stitch.allow_hooks(allowed=False)
    response = api("POST", HOOKS, json=hook())
    assert (response.status_code, response.json()) == (
        400,
        {"error": {"message": "Client does not have access to hooks."}},
    )


def test_h3_account_has_at_most_ten_hooks(api: Api) -> None:
    for _ in range(10):
        add_hook(api)
    response = api("POST", HOOKS, json=hook())
    message = "You have exceeded the limit of [LIMIT] hooks."
    assert (response.status_code, response.json()) == (400, {"error": {"message": message}})


@pytest.mark.parametrize("body", [{}, {"enable": "true"}, {"enable": 1}, {"enable": True, "x": 1}, []])
def test_h4_only_enable_can_be_changed(api: Api, body: Any) -> None:
    response = api("PUT", f"{HOOKS}/{add_hook(api)['id']}", json=body)
    assert (response.status_code, response.json()) == (400, INVALID_PUT)


def test_h5_unknown_hook_cannot_be_deleted(api: Api) -> None:
    response = api("DELETE", f"{HOOKS}/7")
    assert (response.status_code, response.json()) == (400, {"error": "NotFound"})
    assert api("PUT", f"{HOOKS}/7", json={"enable": True}).status_code == 404


def test_notifications_of_accounts_are_separate(api: Api, stitch: StitchEmulator) -> None:
    email, hook_id = add_email(api)["id"], add_hook(api)["id"]
    other = type(api)(stitch, stitch.add_account())
    assert other.get(EMAILS) == []
    assert other.get(HOOKS) == {"post_load": []}
    assert other("PUT", f"{EMAILS}/{email}", json={"disabled_at": None}).status_code == 404
    assert other("DELETE", f"{HOOKS}/{hook_id}").status_code == 400
    assert other("POST", HOOKS, json=hook()).status_code == 400
