"""Test the results and errors of partner requests, and that partner credentials remain secret."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from airflow_provider_stitch.connect.errors import (
    EmailInUse,
    StitchBadRequest,
    StitchConfigurationError,
    StitchNotFound,
    StitchUnauthorized,
    StitchUnavailable,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.partner import StitchPartner

from . import endpoint_samples as more
from .scripted_server import http_response, running_server

PARTNER_ID = "oc_partner+id/1"
PARTNER_SECRET = "oc_partner&secret"
CODE = "c0de%once only"


@pytest.fixture
def partner(stitch):
    with StitchPartner(PARTNER_ID, PARTNER_SECRET, base_url=stitch.url, request_timeout=2.0) as partner:
        yield partner


ACCOUNT = {
    "company": "Acme",
    "email": "ada@acme.example",
    "first_name": "Ada",
    "last_name": "Example",
    "region": "us-east-1",
}


def test_create_account_sends_credentials_in_the_body_only(stitch, partner):
    stitch.script(http_response(more.ACCOUNT))

    account = partner.create_account(**ACCOUNT)

    [request] = stitch.requests
    assert f"{request.method} {request.target}" == "POST /v3/accounts"
    assert json.loads(request.body) == {
        **ACCOUNT,
        "partner_id": PARTNER_ID,
        "partner_secret": PARTNER_SECRET,
    }
    assert "authorization" not in request.headers
    assert PARTNER_SECRET not in str(request.headers)
    assert (account.stitch_account_id, account.access_token.reveal()) == (104857, "at_9f8e7d6c5b4a")


def test_exchange_code_sends_a_form(stitch, partner):
    stitch.script(http_response(more.AUTHORIZED))

    access = partner.exchange_code(CODE)

    [request] = stitch.requests
    assert f"{request.method} {request.target}" == "POST /oauth/token"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in request.headers
    assert parse_qs(request.body.decode()) == {
        "client_secret": [PARTNER_SECRET],
        "code": [CODE],
        "grant_type": ["authorization_code"],
    }
    assert (access.token_type, access.access_token.reveal()) == ("bearer", "ac_1a2b3c4d5e6f")


FORM = "Invalid form data."


@pytest.mark.parametrize(
    ("status", "body", "error_class", "message"),
    [
        pytest.param(
            400,
            {
                "code": "ExistingUser",
                "message": "This email address is already associated with an active user.",
            },
            EmailInUse,
            "exists",
            id="A1",
        ),
        pytest.param(
            400, {"code": "BadRequest", "message": FORM, "errors": {}}, StitchBadRequest, FORM, id="A2"
        ),
        pytest.param(
            400,
            {"code": "BadRequest", "message": FORM, "errors": {"partner_id": "required"}},
            StitchUnauthorized,
            "partner credentials",
            id="A3",
        ),
        pytest.param(
            400,
            {"code": "BadRequest", "message": FORM, "errors": {"partner_secret": "required"}},
            StitchUnauthorized,
            "partner credentials",
            id="A4",
        ),
        pytest.param(401, b"", StitchUnauthorized, "partner credentials", id="401"),
        pytest.param(404, b"", StitchNotFound, "base URL", id="404"),
        pytest.param(400, {"code": "BadRequest", "message": FORM}, StitchBadRequest, FORM, id="no errors"),
        pytest.param(502, b"<html>", StitchUnavailable, "502", id="502"),
    ],
)
@pytest.mark.parametrize("call", [lambda p: p.create_account(**ACCOUNT), lambda p: p.exchange_code(CODE)])
def test_partner_error_raises_its_class(stitch, partner, call, status, body, error_class, message):
    stitch.script(http_response(body, status))

    with pytest.raises(error_class) as caught:
        call(partner)

    assert type(caught.value) is error_class
    assert message in str(caught.value)
    assert "access token" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["create_account", "exchange_code", "create_import_token", "create_ephemeral_token"]
)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"access_token": "at_9f8e7d6c5b4a", "ephemer', id="truncated"),
        pytest.param({"access_token": {"ephemeral": "at_9f8e7d6c5b4a"}}, id="another structure"),
        pytest.param({"token": "at_9f8e7d6c5b4a"}, id="another key"),
        pytest.param(["at_9f8e7d6c5b4a"], id="an array"),
    ],
)
def test_invalid_confidential_response_is_not_shown(stitch, client, partner, name, body):
    stitch.script(http_response(body))
    calls = {
        "create_account": lambda: partner.create_account(**ACCOUNT),
        "exchange_code": lambda: partner.exchange_code(CODE),
        "create_import_token": lambda: client.create_import_token(310445),
        "create_ephemeral_token": client.create_ephemeral_token,
    }

    with pytest.raises(UnexpectedResponse, match="not shown") as caught:
        calls[name]()

    error: BaseException | None = caught.value
    while error is not None:
        assert "9f8e7d6c5b4a" not in str(error)
        error = error.__context__


@pytest.mark.parametrize("status", [200, 302, 400, 401, 500])
def test_echoed_partner_credentials_are_redacted(partner, stitch, status, caplog):
    def echo(connection):
        echo = stitch.requests[-1].body + b" " * 150 + stitch.requests[-1].body
        connection.sendall(http_response(echo, status, Location=f"http://{PARTNER_SECRET}.example/"))

    caplog.set_level(0)
    stitch.script(echo)

    for call in (lambda: partner.create_account(**ACCOUNT), lambda: partner.exchange_code(CODE)):
        with pytest.raises(
            (UnexpectedResponse, StitchBadRequest, StitchUnauthorized, StitchUnavailable)
        ) as caught:
            call()
        visible = str(caught.value) + repr(partner) + caplog.text
        for secret in ("oc_partner", "secret&", "%26secret", "c0de"):
            assert secret not in visible


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("", PARTNER_SECRET), id="a string as the destination id"),
        pytest.param((PARTNER_ID, ""), id="no secret"),
        pytest.param((PARTNER_ID, "oc_a b"), id="a space"),
        pytest.param((PARTNER_ID, None), id="None"),
    ],
)
def test_invalid_partner_credentials_are_rejected(arguments):
    with pytest.raises(StitchConfigurationError, match="partner_") as caught:
        StitchPartner(*arguments)

    assert "oc_" not in str(caught.value)


def test_partner_credentials_are_not_sent_over_plain_http():
    with pytest.raises(StitchConfigurationError, match="HTTPS"):
        StitchPartner(PARTNER_ID, PARTNER_SECRET, base_url="http://api.stitchdata.com")


def test_redirect_does_not_forward_partner_credentials(stitch, partner):
    with running_server() as other:
        other.script(http_response({}))
        stitch.script(http_response(b"", 307, Location=f"{other.url}/v3/accounts"))

        with pytest.raises(UnexpectedResponse, match="redirect"):
            partner.create_account(**ACCOUNT)

        assert other.requests == []


@pytest.mark.parametrize(
    ("raw", "maybe_created"),
    [
        pytest.param(http_response(b"", 502), True, id="502"),
        pytest.param(http_response(b"<html>"), True, id="HTML"),
        pytest.param(http_response(b"", 429), False, id="429"),
    ],
)
def test_error_says_if_the_account_may_have_been_created(stitch, partner, raw, maybe_created):
    stitch.script(raw)

    with pytest.raises((StitchUnavailable, UnexpectedResponse)) as caught:
        partner.create_account(**ACCOUNT)

    assert ("may have been created" in str(caught.value)) is maybe_created
    assert len(stitch.requests) == 1
