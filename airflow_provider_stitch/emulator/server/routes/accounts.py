"""Endpoints for accounts, sessions and OAuth."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.emulator.model.api_errors import ApiError
from airflow_provider_stitch.emulator.server.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.server.routes.schemas import (
    INTEGER,
    NON_EMPTY_TEXT,
    TEXT,
    choice,
    closed_object,
    ref,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_GROUP = "Accounts, sessions, OAuth"
_REGIONS = ("us-east-1", "eu-central-1")
_REQUIRED = ("company", "email", "first_name", "last_name", "partner_id", "partner_secret", "region")


def create_account(call: Call) -> Any:
    """Create an account without destinations or sources.

    The access token is returned only in this response.
    """
    partner = call.state.partner
    body = call.json(_invalid_form({}))
    if not isinstance(body, dict):
        raise _invalid_form({})
    validators: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(_REQUIRED, _is_text),
        "partner_id": partner.matches_id,
        "partner_secret": partner.matches_secret,
        "region": _REGIONS.__contains__,
    }
    invalid = [name for name, is_valid in validators.items() if not is_valid(body.get(name))]
    if invalid:
        raise _invalid_form(dict.fromkeys(invalid, "required"))
    if any(account.email.lower() == body["email"].lower() for account in call.state.accounts.values()):
        message = "This email address is already associated with an active user."
        raise ApiError(400, {"code": "ExistingUser", "message": message})
    token = call.state.new_token(call.state.quirks.token_prefix)
    account = call.state.add_account(None, token, body["email"])
    return {"access_token": token, "stitch_account_id": account.client_id}


def create_ephemeral_token(_call: Call) -> Any:
    """Create a token for a browser session. The emulator has no web application to use the token with."""
    return {"ephemeral_token": secrets.token_urlsafe(32)}


def exchange_code(call: Call) -> Any:
    """Exchange an OAuth code for a permanent token.

    Stitch does not document the errors of this request, so the emulator follows RFC 6749.
    """
    form = call.form()
    if form is None or not {"client_secret", "code", "grant_type"} <= set(form):
        raise ApiError(400, {"error": "invalid_request"})
    if form["grant_type"] != "authorization_code":
        raise ApiError(400, {"error": "unsupported_grant_type"})
    if not call.state.partner.matches_secret(form["client_secret"]):
        raise ApiError(401, {"error": "invalid_client"})
    client_id = call.state.partner.redeem_code(form["code"], call.now)
    if client_id is None:
        raise ApiError(400, {"error": "invalid_grant"})
    account = call.state.accounts[client_id]
    token = call.state.new_token("ac_")
    call.state.add_token(account, token)
    return {"token_type": "bearer", "access_token": token, "stitch_account_id": account.client_id}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _invalid_form(errors: dict[str, str]) -> ApiError:
    """Return the error for invalid fields.

    Stitch documents this error only for a malformed body and for invalid partner credentials.
    """
    return ApiError(400, {"code": "BadRequest", "message": "Invalid form data.", "errors": errors})


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v3/accounts",
        create_account,
        _GROUP,
        "Create an account",
        ref("Account"),
        body={
            **closed_object({**dict.fromkeys(_REQUIRED, NON_EMPTY_TEXT), "region": choice(*_REGIONS)}),
            "additionalProperties": True,
        },
        errors={400: ref("AccountError")},
        needs_token=False,
    ),
    Endpoint(
        "POST",
        "/v3/sessions/ephemeral",
        create_ephemeral_token,
        _GROUP,
        "Create an ephemeral token",
        closed_object({"ephemeral_token": TEXT}),
    ),
    Endpoint(
        "POST",
        "/oauth/token",
        exchange_code,
        _GROUP,
        "Exchange a code for an access token",
        closed_object(
            {"token_type": {"const": "bearer"}, "access_token": TEXT, "stitch_account_id": INTEGER}
        ),
        body={
            **closed_object(
                {"client_secret": TEXT, "code": TEXT, "grant_type": choice("authorization_code")}
            ),
            "additionalProperties": True,
        },
        errors={400: ref("OAuthError"), 401: ref("OAuthError")},
        needs_token=False,
        has_form_body=True,
    ),
)
