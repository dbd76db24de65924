"""Accounts, sessions and OAuth."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.refusal import Refusal
from airflow_provider_stitch.emulator.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.routes.schemas import FULL_TEXT, INTEGER, TEXT, choice, record, ref

if TYPE_CHECKING:
    from collections.abc import Callable

_GROUP = "Accounts, sessions, OAuth"
_REGIONS = ("us-east-1", "eu-central-1")
_WANTED = ("company", "email", "first_name", "last_name", "partner_id", "partner_secret", "region")


def create_account(call: Call) -> Any:
    """A new account of the partner, without destinations and sources. Its token is shown this once."""
    partner = call.world.partner
    body = call.json(_bad_form({}))
    if not isinstance(body, dict):
        raise _bad_form({})
    wanted: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(_WANTED, _is_text),
        "partner_id": partner.is_id,
        "partner_secret": partner.is_secret,
        "region": _REGIONS.__contains__,
    }
    bad = [name for name, is_good in wanted.items() if not is_good(body.get(name))]
    if bad:
        raise _bad_form(dict.fromkeys(bad, "required"))
    if any(account.email.lower() == body["email"].lower() for account in call.world.accounts.values()):
        message = "This email address is already associated with an active user."
        raise Refusal(400, {"code": "ExistingUser", "message": message})
    token = call.world.new_token(call.world.quirks.token_prefix)
    account = call.world.add_account(None, token, body["email"])
    return {"access_token": token, "stitch_account_id": account.client_id}


def create_ephemeral_token(_call: Call) -> Any:
    """A token for a browser session. The emulator has no web application, so nothing takes it."""
    return {"ephemeral_token": secrets.token_urlsafe(32)}


def exchange_code(call: Call) -> Any:
    """A code becomes a permanent token. No error is documented; here they are those of RFC 6749."""
    form = call.form()
    if form is None or not {"client_secret", "code", "grant_type"} <= set(form):
        raise Refusal(400, {"error": "invalid_request"})
    if form["grant_type"] != "authorization_code":
        raise Refusal(400, {"error": "unsupported_grant_type"})
    if not call.world.partner.is_secret(form["client_secret"]):
        raise Refusal(401, {"error": "invalid_client"})
    account = call.world.partner.exchange(form["code"], call.now)
    if account is None:
        raise Refusal(400, {"error": "invalid_grant"})
    token = call.world.new_token("ac_")
    call.world.add_token(account, token)
    return {"token_type": "bearer", "access_token": token, "stitch_account_id": account.client_id}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _bad_form(errors: dict[str, str]) -> Refusal:
    """The wording for the partner's credentials is documented; for other fields it is taken to be alike."""
    return Refusal(400, {"code": "BadRequest", "message": "Invalid form data.", "errors": errors})


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v3/accounts",
        create_account,
        _GROUP,
        "Create an account",
        ref("Account"),
        body={
            **record({**dict.fromkeys(_WANTED, FULL_TEXT), "region": choice(*_REGIONS)}),
            "additionalProperties": True,
        },
        refusals={400: ref("AccountError")},
        needs_token=False,
    ),
    Endpoint(
        "POST",
        "/v3/sessions/ephemeral",
        create_ephemeral_token,
        _GROUP,
        "Create an ephemeral token",
        record({"ephemeral_token": TEXT}),
    ),
    Endpoint(
        "POST",
        "/oauth/token",
        exchange_code,
        _GROUP,
        "Exchange a code for an access token",
        record({"token_type": {"const": "bearer"}, "access_token": TEXT, "stitch_account_id": INTEGER}),
        body={
            **record({"client_secret": TEXT, "code": TEXT, "grant_type": choice("authorization_code")}),
            "additionalProperties": True,
        },
        refusals={400: ref("OAuthError"), 401: ref("OAuthError")},
        needs_token=False,
        takes_form=True,
    ),
)
