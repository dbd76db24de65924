"""Test that webhooks are delivered to receivers on this machine, but never to another machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_stitch.emulator import (
    EmulatedStream,
    Flush,
    JobPlan,
    LoadError,
    StitchEmulator,
    Webhook,
)
from airflow_provider_stitch.emulator.model.webhook_url import loopback_address
from airflow_provider_stitch.emulator.server.webhook_delivery import post

from .conftest import Api
from .webhook_receiver import Receiver, create_certificate

HOOKS = "/notifications/public/v1/api/hooks"
#: A webhook payload with the values from the sample in Stitch's documentation.
PAYLOAD = {
    "version": "1.0",
    "minimum_sdc_batched_at": "2026-08-17T06:02:37.250Z",
    "integration_name": "github",
    "new_version": False,
    "source_root_table_name": "commits",
    "destination_root_table_name": "commits",
    "table_version": 0,
    "tables": [
        {
            "source_table_name": "commits",
            "destination_table_name": "commits",
            "num_rows": 120,
            "num_rows_rejected": 0,
            "max_time_extracted": "2026-08-17T06:01:12.250Z",
            "bookmark_metadata": [
                {
                    "key": "updated_at",
                    "min_value": "2026-08-16T05:56:12Z",
                    "max_value": "2026-08-17T05:56:12Z",
                }
            ],
        }
    ],
}


def _has_ipv6() -> bool:
    import socket

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


IPV6 = _has_ipv6()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    receiver.thread.join(10)


def test_webhook_payload_matches_the_documented_sample(
    api: Api, stitch: StitchEmulator, github: int, receiver: Receiver
) -> None:
    body = {"type": "post_load", "destination_id": 155901, "config": {"url": receiver.url}}
    assert api("POST", HOOKS, json=body).status_code == 200
    api.start(github)
    stitch.advance(154)
    assert stitch.settle_webhooks() == []  # `commits` is flushed at 80 s and loaded at 155 s
    stitch.advance(1)
    (webhook,) = stitch.settle_webhooks()
    assert (webhook.state, [a.status for a in webhook.attempts]) == ("delivered", [200])
    headers, payload = receiver.received[0]
    assert payload == webhook.payload
    assert payload == PAYLOAD
    assert headers["user-agent"] == "StitchLoadingWebhook"
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers
    # Stitch never loads a stream without rows, and therefore sends no webhook for the stream.
    stitch.advance(3600)
    assert len(stitch.settle_webhooks()) == 1


def test_webhook_is_sent_at_its_time_without_any_request(receiver: Receiver) -> None:
    with StitchEmulator(speed=3600) as stitch:
        github = stitch.add_source("github", streams={"commits": 1})
        stitch.add_hook(receiver.url)
        stitch.start_job(github)
        # No request wakes the emulator before the webhook is due.
        assert receiver.arrived.wait(10)
        assert stitch.webhooks[0].payload == receiver.payloads[0]


def test_failed_load_sends_no_webhook_until_it_succeeds(
    stitch: StitchEmulator, github: int, receiver: Receiver
) -> None:
    stitch.add_hook(receiver.url)
    stitch.plan_next_job(github, JobPlan(load_errors={"commits": LoadError("full", heals_after=600)}))
    stitch.start_job(github)
    stitch.advance(700)
    assert stitch.settle_webhooks() == []
    stitch.advance(100)
    assert [w.state for w in stitch.settle_webhooks()] == ["delivered"]


def test_outage_delays_webhooks(stitch: StitchEmulator, github: int, receiver: Receiver) -> None:
    stitch.add_hook(receiver.url)
    stitch.set_load_error(github, "commits")
    stitch.start_job(github)
    stitch.advance(3600)
    assert stitch.settle_webhooks() == []
    stitch.clear_load_error(github, "commits")
    assert len(stitch.settle_webhooks()) == 1


def test_each_batch_sends_a_webhook_with_rejected_rows(
    stitch: StitchEmulator, github: int, receiver: Receiver
) -> None:
    stitch.add_hook(receiver.url)
    flushes = [Flush(at=20, rows=60, rejected=7), Flush(at=100, rows=5, rejected=5)]
    stitch.plan_next_job(github, JobPlan(flushes={"commits": flushes}))
    stitch.start_job(github)
    stitch.advance(300)
    stitch.settle_webhooks()
    tables = sorted((p["tables"][0] for p in receiver.payloads), key=lambda t: -t["num_rows"])
    assert [(t["num_rows"], t["num_rows_rejected"]) for t in tables] == [(53, 7), (0, 5)]
    assert (tables[0]["bookmark_metadata"] is None, tables[1]["bookmark_metadata"]) == (False, None)


def test_unflushed_rows_of_a_stopped_job_send_no_webhook(
    stitch: StitchEmulator, github: int, receiver: Receiver
) -> None:
    stitch.add_hook(receiver.url)
    stitch.start_job(github)
    stitch.advance(60)
    stitch.stop_job(github)
    stitch.advance(3600)
    assert stitch.settle_webhooks() == []


@pytest.mark.parametrize("change", ["disabled", "deleted", "destination deleted"])
def test_deleted_or_disabled_hook_receives_nothing(
    api: Api, stitch: StitchEmulator, github: int, receiver: Receiver, change: str
) -> None:
    hook_id = stitch.add_hook(receiver.url)
    stitch.start_job(github)
    if change == "disabled":
        api("PUT", f"{HOOKS}/{hook_id}", json={"enable": False})
    elif change == "deleted":
        api("DELETE", f"{HOOKS}/{hook_id}")
    else:
        stitch.delete_destinations()
        assert api.get(HOOKS) == {"post_load": []}
    stitch.advance(3600)
    assert stitch.settle_webhooks() == []
    assert receiver.received == []


def test_hook_receives_only_loads_of_its_destination(
    api: Api, stitch: StitchEmulator, github: int, receiver: Receiver
) -> None:
    stitch.add_hook(receiver.url, stitch.add_destination("s3"))
    stitch.complete_job(github)
    assert stitch.settle_webhooks() == []


def test_loads_before_the_hook_send_no_webhook(
    stitch: StitchEmulator, github: int, receiver: Receiver
) -> None:
    stitch.add_hook(receiver.url)
    stitch.complete_job(github, seconds_ago=3600)
    assert stitch.settle_webhooks() == []


def test_s3_destination_adds_keys_and_objects(api: Api, stitch: StitchEmulator, receiver: Receiver) -> None:
    stitch.delete_destinations()
    stitch.add_destination("s3")
    events = stitch.add_source("events", streams={"clicks": EmulatedStream(3, primary_key=("a", "b"))})
    stitch.add_hook(receiver.url)
    stitch.start_job(events)
    stitch.advance(3600)
    (webhook,) = stitch.settle_webhooks()
    table = webhook.payload["tables"][0]
    assert table["primary_keys"] == ["a", "b"]
    assert [o.startswith("events/clicks/0_") for o in table["s3_objects"]] == [True]


def test_full_table_webhook_has_new_version_and_no_bookmark(
    api: Api, stitch: StitchEmulator, receiver: Receiver
) -> None:
    stream = EmulatedStream(3, replication_method="FULL_TABLE")
    source_id = stitch.add_source("all", display_name="All of it", streams={"clicks": stream})
    stitch.add_hook(receiver.url)
    stitch.quirks.webhook_blanks = "null"
    stitch.quirks.webhook_names = "display_name"
    stitch.start_job(source_id)
    stitch.advance(3600)
    (webhook,) = stitch.settle_webhooks()
    payload = webhook.payload
    assert (payload["new_version"], payload["table_version"] > 0) == (True, True)
    assert payload["integration_name"] == "All of it"
    blank = {key: payload["tables"][0][key] for key in ("bookmark_metadata", "primary_keys", "s3_objects")}
    assert blank == {"bookmark_metadata": None, "primary_keys": None, "s3_objects": None}


@pytest.mark.parametrize("first", [500, 302, 0], ids=["500", "redirect", "cut"])
def test_failed_webhook_is_retried(
    stitch: StitchEmulator, github: int, receiver: Receiver, first: int
) -> None:
    receiver.statuses = [first]
    stitch.add_hook(receiver.url)
    stitch.start_job(github)
    stitch.advance(300)
    (webhook,) = stitch.settle_webhooks()
    assert (webhook.state, webhook.attempts[0].status) == ("waiting", first or None)
    stitch.advance(60)
    (webhook,) = stitch.settle_webhooks()
    assert (webhook.state, len(webhook.attempts)) == ("delivered", 2)
    assert receiver.payloads[0] == receiver.payloads[1]


def test_stitch_gives_up_after_five_retries(stitch: StitchEmulator, github: int, receiver: Receiver) -> None:
    receiver.statuses = [503] * 10
    stitch.quirks.webhook_retry_seconds = 30
    stitch.add_hook(receiver.url)
    stitch.start_job(github)
    stitch.advance(300)
    for _ in range(10):
        stitch.settle_webhooks()
        stitch.advance(30)
    (webhook,) = stitch.settle_webhooks()
    assert (webhook.state, len(receiver.received)) == ("failed", 6)


def test_refused_connection_is_a_failed_attempt(
    stitch: StitchEmulator, github: int, receiver: Receiver
) -> None:
    receiver.server.server_close()
    stitch.add_hook(receiver.url)
    stitch.complete_job(github, seconds_ago=0)
    stitch.advance(300)
    (webhook,) = stitch.settle_webhooks()
    (attempt,) = webhook.attempts
    assert attempt.status is None
    assert "Connect" in str(attempt.error)


def test_receiver_without_response_times_out(
    stitch: StitchEmulator, github: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_stitch.emulator.server.webhook_delivery.TIMEOUT", 0.01)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        stitch.add_hook(f"http://localhost:{silent.getsockname()[1]}/")
        stitch.start_job(github)
        stitch.advance(300)
        (webhook,) = stitch.settle_webhooks()
    assert [attempt.error for attempt in webhook.attempts] == ["no response within 0.01 s"]


def test_webhook_to_another_machine_is_never_sent(stitch: StitchEmulator, github: int) -> None:
    stitch.add_hook("https://hooks.acme.example/stitch")
    stitch.start_job(github)
    stitch.advance(300)
    (webhook,) = stitch.settle_webhooks()
    assert (webhook.state, webhook.attempts) == ("not sent", [])
    assert webhook.payload["integration_name"] == "github"


@pytest.mark.skipif(not IPV6, reason="this machine has no IPv6 loopback")
def test_localhost_can_be_ipv6(stitch: StitchEmulator, github: int) -> None:
    import socket

    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        stitch.add_hook(f"http://localhost:{server.getsockname()[1]}/")
        stitch.start_job(github)
        stitch.advance(300)
        server.settimeout(10)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(4) == b"POST"
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            (webhook,) = stitch.settle_webhooks()
    assert webhook.state == "delivered"


def test_receiver_can_use_tls(
    stitch: StitchEmulator, github: int, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    certificate = create_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    stitch.add_hook(receiver.url.replace("http://127.0.0.1", "https://localhost"))
    stitch.start_job(github)
    stitch.advance(300)
    (webhook,) = stitch.settle_webhooks()
    assert "CERTIFICATE_VERIFY_FAILED" in str(webhook.attempts[0].error)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    stitch.advance(60)
    (webhook,) = stitch.settle_webhooks()
    assert (webhook.state, len(receiver.received)) == ("delivered", 1)


async def _post(url: str) -> int:
    from datetime import datetime, timezone

    return await post(Webhook(1, 1, url, datetime.now(timezone.utc), {}))


def test_post_rejects_urls_of_other_machines() -> None:
    import asyncio

    with pytest.raises(ValueError, match="not on this machine"):
        asyncio.run(_post("https://example.com/"))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000/", True),
        ("http://localhost/", True),
        ("https://[::1]:8443/x", True),
        ("https://127.1.2.3/", True),
        ("https://acme.example/", False),
        ("https://localhost.acme.example/", False),
        ("https://127.0.0.1.acme.example/", False),
        ("https://user:127.0.0.1@acme.example/", False),
        ("https://10.0.0.1/", False),
        ("https://169.254.169.254/", False),
        ("https://0.0.0.0/", False),
        ("https://2130706433/", False),
        ("https://0x7f.1/", False),
    ],
)
def test_only_loopback_addresses_are_on_this_machine(url: str, local: bool) -> None:
    assert (loopback_address(url) is not None) is local
