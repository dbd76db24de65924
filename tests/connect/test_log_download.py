"""Test that an extraction log is downloaded from another host without the token."""

from __future__ import annotations

import gzip
import logging

import pytest

from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    ExtractionLogUnavailable,
    InvalidArgument,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.transport import request as request_module
from airflow_provider_stitch.connect.transport.log_download import fetch_log
from airflow_provider_stitch.connect.transport.request import Transport
from tests.connect.log_redirects import LOG, redirect_to

from . import samples
from .conftest import TOKEN
from .scripted_server import cut_after, http_response

SECRET = "hush-hush-signature"


def log_url(server):
    return f"{server.url}/{samples.JOB_NAME}?x-amz-security-token={SECRET}"


def test_log_is_downloaded_without_the_token(stitch, other_host, client):
    stitch.script(redirect_to(log_url(other_host)))
    other_host.script(http_response(LOG, Content_Type="text/plain"))

    log = client.get_extraction_log(samples.JOB_NAME)

    assert log.succeeded is True
    assert stitch.targets == [f"/v4/104857/extractions/{samples.JOB_NAME}"]
    assert stitch.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    [request] = other_host.requests
    assert request.target.endswith(SECRET)
    assert TOKEN not in repr(request)
    assert "authorization" not in request.headers


def test_compressed_log_is_read(stitch, other_host, client):
    stitch.script(redirect_to(log_url(other_host)))
    other_host.script(http_response(gzip.compress(LOG), Content_Encoding="gzip"))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True


def test_log_served_by_stitch_itself_is_read(stitch, client):
    stitch.script(http_response(LOG, Content_Type="text/plain"))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True


def test_relative_redirect_to_a_log_is_followed_without_the_token(stitch, client):
    stitch.script(redirect_to("/logs/1"), http_response(LOG))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True
    assert stitch.targets[-1] == "/logs/1"
    assert "authorization" not in stitch.requests[-1].headers


def test_log_host_may_redirect_three_times(stitch, other_host, client):
    stitch.script(redirect_to(log_url(other_host)))
    other_host.script(*[redirect_to("/again")] * 3, http_response(LOG))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True
    assert len(other_host.requests) == 4


@pytest.mark.parametrize(
    ("behaviour", "error_class", "message"),
    [
        pytest.param(http_response(SECRET.encode(), 403), ExtractionLogUnavailable, "expired", id="expired"),
        pytest.param(http_response(SECRET.encode(), 404), ExtractionLogUnavailable, "expired", id="deleted"),
        pytest.param(
            http_response(b"", 503, Retry_After="3"), ExtractionLogUnavailable, "has a problem", id="503"
        ),
        pytest.param(http_response(b"", 418), UnexpectedResponse, "not the log", id="another code"),
        pytest.param(
            redirect_to("/again"), UnexpectedResponse, "more than 3 redirects", id="a redirect loop"
        ),
        pytest.param(
            redirect_to("ftp://logs.example/x"),
            UnexpectedResponse,
            "not an https:// URL",
            id="a redirect to FTP",
        ),
        pytest.param(
            redirect_to("http://logs.example/x"),
            UnexpectedResponse,
            "not an https:// URL",
            id="a redirect to HTTP",
        ),
        pytest.param(
            redirect_to("https://[x"), UnexpectedResponse, "an invalid URL", id="a redirect to an invalid URL"
        ),
        pytest.param(
            http_response(b"<html>", Content_Type="text/html; charset=utf-8"),
            UnexpectedResponse,
            "text/html",
            id="HTML",
        ),
        pytest.param(
            http_response(b"not gzip", Content_Encoding="gzip"),
            UnexpectedResponse,
            "corrupt",
            id="invalid gzip",
        ),
        pytest.param(
            cut_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            ExtractionLogUnavailable,
            "failed",
            id="truncated",
        ),
        pytest.param(b"", ExtractionLogUnavailable, "connection failed", id="closed without a response"),
    ],
)
def test_error_of_log_host_hides_the_url(stitch, other_host, client, caplog, behaviour, error_class, message):
    caplog.set_level(logging.DEBUG)
    stitch.script(redirect_to(log_url(other_host)))
    other_host.script(behaviour)

    with pytest.raises(error_class) as caught:
        client.get_extraction_log(samples.JOB_NAME)

    error = caught.value
    assert type(error) is error_class
    assert message in str(error)
    assert error.job_name == samples.JOB_NAME
    while error is not None:
        assert SECRET not in f"{error!r} {vars(error)}"
        error = error.__context__
    assert SECRET not in caplog.text
    assert f"/v4/104857/extractions/{samples.JOB_NAME}" in caplog.text, "other requests are still logged"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        pytest.param("http://logs.example/x", "not an https:// URL", id="plain HTTP elsewhere"),
        pytest.param("file:///etc/passwd", "not an https:// URL", id="a file"),
        pytest.param("https://", "not an https:// URL", id="no host"),
        pytest.param("https://[x", "an invalid URL", id="an invalid URL"),
    ],
)
def test_log_url_without_https_is_not_requested(stitch, client, location, message):
    stitch.script(redirect_to(location))

    with pytest.raises(UnexpectedResponse, match=message):
        client.get_extraction_log(samples.JOB_NAME)


def test_redirect_to_loopback_is_followed_for_local_stitch_only(other_host):
    with (
        pytest.raises(UnexpectedResponse, match="not an https:// URL"),
        fetch_log(Transport("https://api.stitchdata.com", TOKEN), other_host.url),
    ):
        pass
    assert other_host.requests == []


def test_missing_log_raises_not_found_with_the_job_name(stitch, client):
    stitch.script(http_response(b"", 404))

    with pytest.raises(ExtractionLogNotFound, match=samples.JOB_NAME) as caught:
        client.get_extraction_log(samples.JOB_NAME)

    assert (caught.value.job_name, caught.value.retryable) == (samples.JOB_NAME, True)


def test_log_is_requested_again_if_its_url_has_expired(stitch, other_host, client_for, fake_clock):
    stitch.script(redirect_to(log_url(other_host)))
    other_host.script(http_response(b"", 403), http_response(LOG))
    client = client_for(retry_for=60, sleep=fake_clock.sleep, monotonic=fake_clock.monotonic)
    limited = []
    client.on_limited_request = lambda: limited.append(1)

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True
    assert len(stitch.requests) == len(limited) == 2


@pytest.mark.parametrize("job_name", ["", ".", "..", None, 5])
def test_invalid_job_name_is_not_requested(stitch, client, job_name):
    with pytest.raises(InvalidArgument):
        client.get_extraction_log(job_name)

    assert stitch.requests == []


def test_job_name_is_encoded_as_one_path_segment(stitch, client):
    stitch.script(http_response(b"", 404))

    with pytest.raises(ExtractionLogNotFound):
        client.get_extraction_log("../../v3/accounts?x=1#y")

    assert stitch.targets == ["/v4/104857/extractions/..%2F..%2Fv3%2Faccounts%3Fx%3D1%23y"]


def test_log_may_be_larger_than_a_json_body(stitch, other_host, client, monkeypatch):
    monkeypatch.setattr(request_module, "MAX_BODY_BYTES", 1000)  # this limit applies only to JSON responses
    stitch.script(redirect_to(log_url(other_host)))
    other_host.script(http_response(b"2026-08-17 06:00:00,000Z tap - INFO x\n" * 50_000 + LOG))

    assert client.get_extraction_log(samples.JOB_NAME).succeeded is True
