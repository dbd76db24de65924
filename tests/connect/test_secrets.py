"""The token goes to the base URL's host and nowhere else; the address of a log goes nowhere at all."""

from __future__ import annotations

import gzip
import logging
import pickle

import pytest

from airflow_provider_stitch.connect import transport
from airflow_provider_stitch.connect._sessions import BearerToken, NoAuth, Session
from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    ExtractionLogUnavailable,
    InvalidArgument,
    StitchConfigurationError,
    StitchError,
    UnexpectedAnswer,
)
from airflow_provider_stitch.connect.transport import Transport
from tests.support.secret_encodings import find_encodings

from . import samples
from .conftest import TOKEN
from .server import answer, cut_after

SECRET = "hush-hush-signature"
LOG = (
    b"2026-08-17 06:04:51,012Z   main - INFO "
    b"Exit status is: Discovery succeeded. Tap succeeded. Target succeeded.\n"
)


def address_of(server):
    return f"{server.url}/{samples.JOB_NAME}?x-amz-security-token={SECRET}"


def redirect_to(address):
    return answer(b"", 302, Location=address)


def test_the_log_is_read_from_the_other_host_without_the_token(stitch, other_host, client):
    stitch.script(redirect_to(address_of(other_host)))
    other_host.script(answer(LOG, Content_Type="text/plain"))

    log = client.get_extraction_log(samples.JOB_NAME)

    assert log.succeeded is True
    assert stitch.targets == [f"/v4/104857/extractions/{samples.JOB_NAME}"]
    assert stitch.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    [request] = other_host.requests
    assert request.target.endswith(SECRET)
    assert TOKEN not in repr(request)
    assert "authorization" not in request.headers


def test_a_compressed_log_is_read(stitch, other_host, client):
    stitch.script(redirect_to(address_of(other_host)))
    other_host.script(answer(gzip.compress(LOG), Content_Encoding="gzip"))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True


def test_a_log_that_stitch_serves_itself_is_read(stitch, client):
    stitch.script(answer(LOG, Content_Type="text/plain"))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True


def test_a_relative_address_of_a_log_is_asked_without_the_token(stitch, client):
    stitch.script(redirect_to("/logs/1"), answer(LOG))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True
    assert stitch.targets[-1] == "/logs/1"
    assert "authorization" not in stitch.requests[-1].headers


def test_the_log_host_may_redirect_a_few_times(stitch, other_host, client):
    stitch.script(redirect_to(address_of(other_host)))
    other_host.script(*[redirect_to("/again")] * 3, answer(LOG))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True
    assert len(other_host.requests) == 4


@pytest.mark.parametrize(
    ("behaviour", "kind", "says"),
    [
        pytest.param(answer(SECRET.encode(), 403), ExtractionLogUnavailable, "expired", id="expired"),
        pytest.param(answer(SECRET.encode(), 404), ExtractionLogUnavailable, "expired", id="gone"),
        pytest.param(answer(b"", 503, Retry_After="3"), ExtractionLogUnavailable, "has a problem", id="503"),
        pytest.param(answer(b"", 418), UnexpectedAnswer, "not the log", id="another code"),
        pytest.param(redirect_to("/again"), UnexpectedAnswer, "more than 3 redirects", id="a redirect loop"),
        pytest.param(
            redirect_to("ftp://logs.example/x"),
            UnexpectedAnswer,
            "not an https:// address",
            id="a redirect to FTP",
        ),
        pytest.param(
            redirect_to("http://logs.example/x"),
            UnexpectedAnswer,
            "not an https:// address",
            id="a redirect to HTTP",
        ),
        pytest.param(redirect_to("https://[x"), UnexpectedAnswer, "no address", id="a redirect to no URL"),
        pytest.param(
            answer(b"<html>", Content_Type="text/html; charset=utf-8"),
            UnexpectedAnswer,
            "text/html",
            id="a web page",
        ),
        pytest.param(
            answer(b"not gzip", Content_Encoding="gzip"), UnexpectedAnswer, "garbled", id="gzip that is none"
        ),
        pytest.param(
            cut_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            ExtractionLogUnavailable,
            "failed",
            id="cut",
        ),
        pytest.param(b"", ExtractionLogUnavailable, "connection failed", id="closed without a word"),
    ],
)
def test_a_log_host_that_fails_does_not_give_the_address_away(
    stitch, other_host, client, caplog, behaviour, kind, says
):
    caplog.set_level(logging.DEBUG)
    stitch.script(redirect_to(address_of(other_host)))
    other_host.script(behaviour)

    with pytest.raises(kind) as caught:
        client.get_extraction_log(samples.JOB_NAME)

    error = caught.value
    assert type(error) is kind
    assert says in str(error)
    assert error.job_name == samples.JOB_NAME
    while error is not None:
        assert SECRET not in f"{error!r} {vars(error)}"
        error = error.__context__
    assert SECRET not in caplog.text
    assert f"/v4/104857/extractions/{samples.JOB_NAME}" in caplog.text, "other requests are logged as ever"


@pytest.mark.parametrize(
    ("location", "says"),
    [
        pytest.param("http://logs.example/x", "not an https:// address", id="plain HTTP elsewhere"),
        pytest.param("file:///etc/passwd", "not an https:// address", id="a file"),
        pytest.param("https://", "not an https:// address", id="no host"),
        pytest.param("https://[x", "no address", id="no URL"),
    ],
)
def test_a_log_address_that_is_not_https_is_not_asked(stitch, client, location, says):
    stitch.script(redirect_to(location))

    with pytest.raises(UnexpectedAnswer, match=says):
        client.get_extraction_log(samples.JOB_NAME)


def test_a_real_stitch_cannot_lead_us_to_this_machine(other_host):
    with (
        pytest.raises(UnexpectedAnswer, match="not an https:// address"),
        Transport("https://api.stitchdata.com", TOKEN).fetch_text(other_host.url),
    ):
        pass
    assert other_host.requests == []


def test_a_log_that_does_not_exist_says_so(stitch, client):
    stitch.script(answer(b"", 404))

    with pytest.raises(ExtractionLogNotFound, match=samples.JOB_NAME) as caught:
        client.get_extraction_log(samples.JOB_NAME)

    assert (caught.value.job_name, caught.value.retryable) == (samples.JOB_NAME, True)


def test_an_expired_address_is_asked_for_again_while_there_is_patience(
    stitch, other_host, client_for, fake_time
):
    stitch.script(redirect_to(address_of(other_host)))
    other_host.script(answer(b"", 403), answer(LOG))
    client = client_for(retry_for=60, sleep=fake_time.sleep, monotonic=fake_time.monotonic)
    limited = []
    client.on_limited_request = lambda: limited.append(1)

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True
    assert len(stitch.requests) == len(limited) == 2


@pytest.mark.parametrize("job_name", ["", ".", "..", None, 5])
def test_a_job_name_that_leads_elsewhere_is_not_asked(stitch, client, job_name):
    with pytest.raises(InvalidArgument):
        client.get_extraction_log(job_name)

    assert stitch.requests == []


def test_a_job_name_stays_one_part_of_the_path(stitch, client):
    stitch.script(answer(b"", 404))

    with pytest.raises(ExtractionLogNotFound):
        client.get_extraction_log("../../v3/accounts?x=1#y")

    assert stitch.targets == ["/v4/104857/extractions/..%2F..%2Fv3%2Faccounts%3Fx%3D1%23y"]


def test_a_log_of_any_size_is_not_kept_in_memory(stitch, other_host, client, monkeypatch):
    monkeypatch.setattr(transport, "LARGEST_BODY", 1000)  # for JSON; a log may be larger
    stitch.script(redirect_to(address_of(other_host)))
    other_host.script(answer(b"2026-08-17 06:00:00,000Z tap - INFO x\n" * 50_000 + LOG))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["list_sources", "start_replication_job", "stop_replication_job"])
def test_no_redirect_takes_the_token_along(stitch, other_host, client, status, method):
    stitch.script(answer(b"", status, Location=f"{other_host.url}/v4/sources"))

    with pytest.raises(UnexpectedAnswer, match=r"redirect to '127\.0\.0\.1'"):
        getattr(client, method)(*([] if method == "list_sources" else [310442]))

    assert other_host.requests == []


def test_a_netrc_neither_replaces_the_token_nor_joins_the_log(stitch, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    stitch.script(answer([]))

    with Session(trust_env=True) as session:
        session.get(stitch.url, auth=None)
        session.get(stitch.url, auth=BearerToken(stitch.url, TOKEN))
        session.get(stitch.url, auth=NoAuth())
        session.get(stitch.url, auth=BearerToken("https://api.stitchdata.com", TOKEN))

    sent = [request.headers.get("authorization") for request in stitch.requests]
    assert sent[0].startswith("Basic "), "the file is read, or this test shows nothing"
    assert sent[1:] == [f"Bearer {TOKEN}", None, None]


def test_a_proxy_of_the_environment_does_not_see_what_goes_to_loopback(
    stitch, other_host, client_for, monkeypatch
):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other_host.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    other_host.script(answer([]))
    stitch.script(answer([]), redirect_to(f"{stitch.url}/log"), answer(LOG))
    client = client_for()

    client.list_sources()
    client.get_extraction_log(samples.JOB_NAME)

    assert len(stitch.requests) == 3
    assert other_host.requests == []


def test_a_proxy_of_the_environment_sees_the_name_of_the_host_and_no_more(
    other_host, client_for, monkeypatch
):
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, other_host.url.replace("//", "//ann:hunter2@"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    other_host.script(answer(b"", 502))

    with pytest.raises(StitchError) as caught:
        client_for(base_url="https://stitch.example").list_sources()

    [request] = other_host.requests
    assert (request.method, request.target) == ("CONNECT", "stitch.example:443")
    assert find_encodings(TOKEN, repr(request).encode()) == []
    assert "hunter2" not in str(caught.value)


def test_a_token_that_an_excerpt_cuts_is_not_shown_in_part(stitch, client):
    stitch.script(answer(b"x" * (200 - len(TOKEN) + 1) + TOKEN.encode()))

    with pytest.raises(UnexpectedAnswer) as caught:
        client.list_sources()

    assert TOKEN[:8] not in str(caught.value)
    assert "xxx<secret>" in str(caught.value)


def test_cookies_are_not_kept(stitch, client):
    stitch.script(answer([], Set_Cookie="session=1; Path=/"))

    client.list_sources()
    client.list_sources()

    assert "cookie" not in stitch.requests[1].headers


def test_nothing_printable_shows_the_token(stitch, client):
    assert (
        TOKEN
        not in f"{client!r} {client._transport!r} {client._transport._auth!r} {client.with_retries(3)!r}"
    )
    assert stitch.host in repr(client)


def test_an_error_on_its_way_to_another_process_holds_no_token(stitch, client):
    stitch.script(answer(b"", 401))

    with pytest.raises(StitchError) as caught:
        client.list_sources()

    assert TOKEN.encode() not in pickle.dumps(caught.value)


# What may be an address of Stitch.


@pytest.mark.parametrize(
    ("base_url", "used"),
    [
        pytest.param("https://api.stitchdata.com", "https://api.stitchdata.com", id="the default"),
        pytest.param("https://api.stitchdata.com/", "https://api.stitchdata.com", id="a slash at its end"),
        pytest.param("api.stitchdata.com", "https://api.stitchdata.com", id="a bare host"),
        pytest.param("localhost:8443", "https://localhost:8443", id="a bare host with a port"),
        pytest.param("HTTPS://API.stitchdata.com", "https://api.stitchdata.com", id="upper case"),
        pytest.param(
            "https://proxy.example:444/stitch/", "https://proxy.example:444/stitch", id="port and path"
        ),
        pytest.param("https://api.stitchdata.com:443", "https://api.stitchdata.com", id="default port"),
        pytest.param("https://api.stitchdata.com.", "https://api.stitchdata.com", id="trailing dot"),
        pytest.param("Api.StitchData.Com.:443/", "https://api.stitchdata.com", id="all together"),
        pytest.param("http://127.0.0.1:80", "http://127.0.0.1", id="default port of plain HTTP"),
        pytest.param("https://127.0.0.1:80", "https://127.0.0.1:80", id="default port of another scheme"),
        pytest.param("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080", id="loopback, version 6, long"),
        pytest.param("http://127.0.0.1:8080", "http://127.0.0.1:8080", id="loopback"),
        pytest.param("http://127.8.9.1", "http://127.8.9.1", id="loopback, another"),
        pytest.param("http://localhost:8080/", "http://localhost:8080", id="loopback by name"),
        pytest.param("http://[::1]:8080", "http://[::1]:8080", id="loopback, version 6"),
        pytest.param(" https://api.stitchdata.com ", "https://api.stitchdata.com", id="spaces around"),
    ],
)
def test_a_base_url_is_used_as_given(base_url, used):
    assert StitchClient(TOKEN, base_url=base_url).base_url == used


@pytest.mark.parametrize(
    "base_url",
    [
        pytest.param("", id="empty"),
        pytest.param("http://api.stitchdata.com", id="plain HTTP"),
        pytest.param("http://localhost.evil.example", id="plain HTTP to a look-alike"),
        pytest.param("http://127.0.0.1.evil.example", id="plain HTTP to another look-alike"),
        pytest.param("http://0.0.0.0", id="plain HTTP to no address"),
        pytest.param("http://2130706433", id="plain HTTP to a number"),
        pytest.param("ftp://api.stitchdata.com", id="FTP"),
        pytest.param("https://user:hunter2@api.stitchdata.com", id="user info"),
        pytest.param("https://api.stitchdata.com@evil.example", id="a host as user info"),
        pytest.param("https://evil.example\\@api.stitchdata.com", id="a backslash"),
        pytest.param("https://api.stitchdata.com?hunter2", id="a query"),
        pytest.param("https://api.stitchdata.com#hunter2", id="a fragment"),
        pytest.param("https://api.stitchdata.com/../x", id="dots"),
        pytest.param("https://api.stitchdata.com/%2e%2e/x", id="hidden dots"),
        pytest.param("https://api.stitchdata.com//x", id="two slashes"),
        pytest.param("https://api.stitch data.com", id="a space"),
        pytest.param("https://api.stitchdata.com\r\nX: y", id="a line end"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///v4", id="no host, a path"),
        pytest.param("https://./v4", id="a dot as host"),
        pytest.param("https://[::1", id="half an address"),
        pytest.param("https://api.stitchdata.com:99999", id="no such port"),
        pytest.param("https://api.stitchdata.com:hunter2", id="a port that is text"),
        pytest.param("https://\u0430pi.stitchdata.com", id="another script"),
    ],
)
def test_a_base_url_that_is_not_safe_is_refused_without_repeating_it(base_url):
    with pytest.raises(StitchConfigurationError, match="base URL of Stitch") as caught:
        StitchClient(TOKEN, base_url=base_url)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or "hunter2" not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("token", "says"),
    [
        pytest.param("", "no Stitch access token", id="empty"),
        pytest.param("oc_1234567890", "partner credential", id="a partner credential"),
        pytest.param("ac_123 456", "white space", id="a space"),
        pytest.param("ac_123456\n", "white space", id="a line end"),
        pytest.param("Bearer ac_123456", "white space", id="with Bearer"),
        pytest.param("ac_123\x00456", "control", id="a control character"),
        pytest.param("ac_123\u00e9456", "non-ASCII", id="another letter"),
    ],
)
def test_a_token_that_is_none_is_refused_without_repeating_it(token, says):
    with pytest.raises(StitchConfigurationError, match=says) as caught:
        StitchClient(token)

    assert not token or token not in str(caught.value)


def test_a_token_of_any_other_prefix_is_taken(stitch):
    stitch.script(answer([]))

    StitchClient("at_no-prefix-is-insisted-upon", base_url=stitch.url).list_sources()

    assert stitch.requests[0].headers["authorization"] == "Bearer at_no-prefix-is-insisted-upon"


@pytest.mark.parametrize(
    "path", ["/v4/../x", "/v4/%2e%2e/x", "//evil.example/x", "v4", "/v4?x=1", "/v4/\r\nX: y", ""]
)
def test_a_path_that_leads_elsewhere_is_not_asked(stitch, client, path):
    with pytest.raises(InvalidArgument):
        client._transport.request("GET", path)

    assert stitch.requests == []


@pytest.mark.parametrize("status", [400, 404, 500])
def test_error_of_a_log_does_not_show_the_beginning_of_the_token(stitch, client, status):
    stitch.script(answer(ECHO, status))

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
def test_error_does_not_show_the_beginning_of_the_token(stitch, client, call, status, body):
    stitch.script(answer(body, status))

    try:
        error = CALLS[call](client)  # a stop and a deletion take any body of a success
    except StitchError as raised:
        error = raised

    assert status == 200 or isinstance(error, StitchError)
    assert not isinstance(error, StitchError) or TOKEN[:8] not in f"{error!r} {vars(error)}"
