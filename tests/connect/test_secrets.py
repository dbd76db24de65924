"""Test that the token is sent only to Stitch and appears in no error, log line or repr."""

from __future__ import annotations

import pickle

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    InvalidArgument,
    StitchConfigurationError,
    StitchError,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.transport.session import BearerToken, NoAuth, Session
from tests.connect.log_redirects import LOG, redirect_to
from tests.support.secret_encodings import find_encodings

from . import samples
from .conftest import TOKEN
from .scripted_server import http_response


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["list_sources", "start_replication_job", "stop_replication_job"])
def test_redirect_does_not_forward_the_token(stitch, other_host, client, status, method):
    stitch.script(http_response(b"", status, Location=f"{other_host.url}/v4/sources"))

    with pytest.raises(UnexpectedResponse, match=r"redirect to '127\.0\.0\.1'"):
        getattr(client, method)(*([] if method == "list_sources" else [310442]))

    assert other_host.requests == []


def test_netrc_credentials_are_not_used(stitch, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    stitch.script(http_response([]))

    with Session(trust_env=True) as session:
        session.get(stitch.url, auth=None)
        session.get(stitch.url, auth=BearerToken(stitch.url, TOKEN))
        session.get(stitch.url, auth=NoAuth())
        session.get(stitch.url, auth=BearerToken("https://api.stitchdata.com", TOKEN))

    sent = [request.headers.get("authorization") for request in stitch.requests]
    assert sent[0].startswith("Basic "), "the netrc file is used, otherwise this test proves nothing"
    assert sent[1:] == [f"Bearer {TOKEN}", None, None]


def test_proxy_is_not_used_for_loopback(stitch, other_host, client_for, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other_host.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    other_host.script(http_response([]))
    stitch.script(http_response([]), redirect_to(f"{stitch.url}/log"), http_response(LOG))
    client = client_for()

    client.list_sources()
    client.get_extraction_log(samples.JOB_NAME)

    assert len(stitch.requests) == 3
    assert other_host.requests == []


def test_proxy_sees_only_the_host_name(other_host, client_for, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, other_host.url.replace("//", "//ann:hunter2@"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    other_host.script(http_response(b"", 502))

    with pytest.raises(StitchError) as caught:
        client_for(base_url="https://stitch.example").list_sources()

    [request] = other_host.requests
    assert (request.method, request.target) == ("CONNECT", "stitch.example:443")
    assert find_encodings(TOKEN, repr(request).encode()) == []
    assert "hunter2" not in str(caught.value)


def test_token_at_the_end_of_an_excerpt_is_redacted(stitch, client):
    stitch.script(http_response(b"x" * (200 - len(TOKEN) + 1) + TOKEN.encode()))

    with pytest.raises(UnexpectedResponse) as caught:
        client.list_sources()

    assert TOKEN[:8] not in str(caught.value)
    assert "xxx<secret>" in str(caught.value)


def test_cookies_are_not_kept(stitch, client):
    stitch.script(http_response([], Set_Cookie="session=1; Path=/"))

    client.list_sources()
    client.list_sources()

    assert "cookie" not in stitch.requests[1].headers


def test_repr_hides_the_token(stitch, client):
    assert (
        TOKEN
        not in f"{client!r} {client._transport!r} {client._transport._auth!r} {client.with_retries(3)!r}"
    )
    assert stitch.host in repr(client)


def test_pickled_error_contains_no_token(stitch, client):
    stitch.script(http_response(b"", 401))

    with pytest.raises(StitchError) as caught:
        client.list_sources()

    assert TOKEN.encode() not in pickle.dumps(caught.value)


# Tests for base URLs and tokens.


@pytest.mark.parametrize(
    ("base_url", "used"),
    [
        pytest.param("https://api.stitchdata.com", "https://api.stitchdata.com", id="the default"),
        pytest.param("https://api.stitchdata.com/", "https://api.stitchdata.com", id="a trailing slash"),
        pytest.param("api.stitchdata.com", "https://api.stitchdata.com", id="a bare host"),
        pytest.param("localhost:8443", "https://localhost:8443", id="a bare host with a port"),
        pytest.param("HTTPS://API.stitchdata.com", "https://api.stitchdata.com", id="upper case"),
        pytest.param(
            "https://proxy.example:444/stitch/", "https://proxy.example:444/stitch", id="port and path"
        ),
        pytest.param("https://api.stitchdata.com:443", "https://api.stitchdata.com", id="default port"),
        pytest.param("https://api.stitchdata.com.", "https://api.stitchdata.com", id="trailing dot"),
        pytest.param("Api.StitchData.Com.:443/", "https://api.stitchdata.com", id="all of these"),
        pytest.param("http://127.0.0.1:80", "http://127.0.0.1", id="default port of plain HTTP"),
        pytest.param("https://127.0.0.1:80", "https://127.0.0.1:80", id="default port of another scheme"),
        pytest.param("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080", id="IPv6 loopback, long form"),
        pytest.param("http://127.0.0.1:8080", "http://127.0.0.1:8080", id="loopback"),
        pytest.param("http://127.8.9.1", "http://127.8.9.1", id="another loopback address"),
        pytest.param("http://localhost:8080/", "http://localhost:8080", id="loopback by name"),
        pytest.param("http://[::1]:8080", "http://[::1]:8080", id="IPv6 loopback"),
        pytest.param(" https://api.stitchdata.com ", "https://api.stitchdata.com", id="surrounding spaces"),
    ],
)
def test_base_url_is_normalized(base_url, used):
    assert StitchClient(TOKEN, base_url=base_url).base_url == used


@pytest.mark.parametrize(
    "base_url",
    [
        pytest.param("", id="empty"),
        pytest.param("http://api.stitchdata.com", id="plain HTTP"),
        pytest.param("http://localhost.evil.example", id="plain HTTP to a similar host"),
        pytest.param("http://127.0.0.1.evil.example", id="plain HTTP to a host like an address"),
        pytest.param("http://0.0.0.0", id="plain HTTP to 0.0.0.0"),
        pytest.param("http://2130706433", id="plain HTTP to a number"),
        pytest.param("ftp://api.stitchdata.com", id="FTP"),
        pytest.param("https://user:hunter2@api.stitchdata.com", id="user info"),
        pytest.param("https://api.stitchdata.com@evil.example", id="a host as user info"),
        pytest.param("https://evil.example\\@api.stitchdata.com", id="a backslash"),
        pytest.param("https://api.stitchdata.com?hunter2", id="a query"),
        pytest.param("https://api.stitchdata.com#hunter2", id="a fragment"),
        pytest.param("https://api.stitchdata.com/../x", id="dot segments"),
        pytest.param("https://api.stitchdata.com/%2e%2e/x", id="encoded dot segments"),
        pytest.param("https://api.stitchdata.com//x", id="two slashes"),
        pytest.param("https://api.stitch data.com", id="a space"),
        pytest.param("https://api.stitchdata.com\r\nX: y", id="a line break"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///v4", id="no host, a path"),
        pytest.param("https://./v4", id="a dot as host"),
        pytest.param("https://[::1", id="an incomplete IPv6 address"),
        pytest.param("https://api.stitchdata.com:99999", id="a port out of range"),
        pytest.param("https://api.stitchdata.com:hunter2", id="a port that is not a number"),
        pytest.param("https://\u0430pi.stitchdata.com", id="a Cyrillic letter"),
    ],
)
def test_unsafe_base_url_is_rejected_without_repeating_it(base_url):
    with pytest.raises(StitchConfigurationError, match="base URL of Stitch") as caught:
        StitchClient(TOKEN, base_url=base_url)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or "hunter2" not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        pytest.param("", "access token is missing", id="empty"),
        pytest.param("oc_1234567890", "partner credential", id="a partner credential"),
        pytest.param("ac_123 456", "white space", id="a space"),
        pytest.param("ac_123456\n", "white space", id="a line break"),
        pytest.param("Bearer ac_123456", "white space", id="with Bearer"),
        pytest.param("ac_123\x00456", "control", id="a control character"),
        pytest.param("ac_123\u00e9456", "non-ASCII", id="a non-ASCII letter"),
    ],
)
def test_invalid_token_is_rejected_without_repeating_it(token, message):
    with pytest.raises(StitchConfigurationError, match=message) as caught:
        StitchClient(token)

    assert not token or token not in str(caught.value)


def test_token_with_any_other_prefix_is_accepted(stitch):
    stitch.script(http_response([]))

    StitchClient("at_any-prefix-is-accepted", base_url=stitch.url).list_sources()

    assert stitch.requests[0].headers["authorization"] == "Bearer at_any-prefix-is-accepted"


@pytest.mark.parametrize(
    "path", ["/v4/../x", "/v4/%2e%2e/x", "//evil.example/x", "v4", "/v4?x=1", "/v4/\r\nX: y", ""]
)
def test_unsafe_path_is_rejected(stitch, client, path):
    with pytest.raises(InvalidArgument):
        client._transport.request("GET", path)

    assert stitch.requests == []


@pytest.mark.parametrize("status", [400, 404, 500])
def test_log_error_hides_prefixes_of_the_token(stitch, client, status):
    stitch.script(http_response(ECHO, status))

    with pytest.raises(StitchError) as caught:
        client.get_extraction_log(samples.JOB_NAME)

    assert TOKEN[:8] not in f"{caught.value!r} {vars(caught.value)}"


ECHO = TOKEN[:20]

CALLS = {
    "list": lambda client: client.list_sources(),
    "read": lambda client: client.get_source(1),
    "page": lambda client: client.list_loads(),
    "start": lambda client: client.start_replication_job(1),
    "stop": lambda client: client.stop_replication_job(1),
    "update": lambda client: client.pause_source(1),
    "create": lambda client: client.create_destination("postgres", {"host": "db.example"}),
    "delete": lambda client: client.delete_source(1),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [200, 400, 404, 409, 422, 500])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"type": "invalid_source", "message": f"bad token {ECHO}"}},
        {"error": {"type": f"bad {ECHO}", "message": {"token": ECHO}}},
        {"error": "InvalidProperties", "data": {"message": ECHO, "bad_properties": [ECHO]}},
        {"invalid_fields": f"invalid tap-stream-ids: [{ECHO}]"},
        f"invalid stream-id: {ECHO}",
    ],
    ids=["object", "type", "code", "fields", "text"],
)
def test_error_hides_prefixes_of_the_token(stitch, client, call, status, body):
    stitch.script(http_response(body, status))

    try:
        error = CALLS[call](client)  # the stop and delete methods accept any body in a successful response
    except StitchError as raised:
        error = raised

    assert status == 200 or isinstance(error, StitchError)
    assert not isinstance(error, StitchError) or TOKEN[:8] not in f"{error!r} {vars(error)}"
