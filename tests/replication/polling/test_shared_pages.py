"""Test the pages that processes share through Redis."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.emulator import StitchEmulator
from airflow_provider_stitch.replication.polling.caller import StitchCaller
from airflow_provider_stitch.replication.polling.limited_requests import (
    LeasedElsewhere,
    LimitedRequest,
    RequestKind,
)
from airflow_provider_stitch.replication.polling.queries import FRESH_ONLY, ExtractionQuery
from airflow_provider_stitch.replication.polling.shared_pages import (
    LEASE_MS,
    PAGE_RETENTION_MS,
    Lease,
    SharedPages,
    account_pages,
)
from airflow_provider_stitch.replication.session import AccountSession
from tests.support.redis_servers import KINDS, running_redis

ACCOUNT = ("https://api.stitchdata.com", 104857)
EXTRACTIONS = LimitedRequest(RequestKind.EXTRACTIONS, 1)
LOADS = LimitedRequest(RequestKind.LOADS, 1)


@pytest.fixture(params=KINDS)
def server(request):
    with running_redis(request.param) as server:
        yield server


@pytest.fixture
def pages(server):
    """Return a function that opens the shared pages, the way another process would."""

    def pages(account=ACCOUNT):
        shared = SharedPages(server.client(), account)
        shared.newer({EXTRACTIONS: 0})  # the first call reads the Redis server's time
        wait_until_later(shared, shared._first_time)
        return shared

    return pages


@pytest.fixture(scope="module")
def stitch():
    with StitchEmulator(speed=600, access_token="ac_hush") as stitch:
        github = stitch.add_source("github", streams={"commits": 120})
        stitch.start_job(github)
        stitch.advance(3600)
        yield stitch


@pytest.fixture
def client(stitch):
    with StitchClient(stitch.access_token, base_url=stitch.url, client_id=stitch.client_id) as client:
        yield client


def wait_until_later(pages: SharedPages, moment: int) -> None:
    """Wait until a new request is certainly later than the given moment.

    On a busy machine, the estimated times are less exact.
    """
    while pages.earliest_time() <= moment:
        time.sleep(0.001)


def publish(pages: SharedPages, client: StitchClient, request: LimitedRequest = EXTRACTIONS):
    """Request a page, publish it the way a worker process would, and return it."""
    lease = pages.lease(request, 0)
    assert isinstance(lease, Lease)
    requested_at = pages.earliest_time()
    kind_of_list = client.list_extractions if request.kind is RequestKind.EXTRACTIONS else client.list_loads
    page = kind_of_list()
    pages.publish(lease, page, requested_at)
    return page


@pytest.mark.parametrize("request_", [EXTRACTIONS, LOADS], ids=["extractions", "loads"])
def test_published_page_equals_the_response(pages, client, request_):
    one, two = pages(), pages()
    page = publish(one, client, request_)

    shared = two.newer({request_: 0})[request_].page

    assert (shared.records, shared.total, shared.responded_at) == (
        page.records,
        page.total,
        page.responded_at,
    )
    assert shared.records
    assert (shared.number, shared.next_page) == (page.number, page.next_page)


def test_page_serves_only_needs_that_arose_before_its_request(pages, client):
    one, two = pages(), pages()
    early = two.latest_time()
    wait_until_later(one, early)
    publish(one, client)
    late = two.latest_time()

    assert list(two.newer({EXTRACTIONS: early})) == [EXTRACTIONS]
    assert two.newer({EXTRACTIONS: late}) == {}
    assert isinstance(two.lease(EXTRACTIONS, late), Lease)


def test_page_from_before_the_first_call_is_not_taken(pages, client, server):
    """Before its first call to Redis, a process does not know the time of the Redis server's clock."""
    publish(pages(), client)

    assert SharedPages(server.client(), ACCOUNT).newer({EXTRACTIONS: 0}) == {}


def test_only_one_process_requests_a_page(pages, client):
    one, two = pages(), pages()
    lease = one.lease(EXTRACTIONS, 0)

    assert isinstance(lease, Lease)
    assert isinstance(two.lease(EXTRACTIONS, 0), LeasedElsewhere)
    assert isinstance(two.lease(LOADS, 0), Lease)
    one.publish(lease, client.list_extractions(), one.earliest_time())
    assert two.lease(EXTRACTIONS, 0).page.records


def test_failed_request_ends_the_lease(pages):
    one, two = pages(), pages()
    one.release(one.lease(EXTRACTIONS, 0))

    assert isinstance(two.lease(EXTRACTIONS, 0), Lease)
    assert two.newer({EXTRACTIONS: 0}) == {}


def test_process_whose_lease_expired_does_not_end_the_next_one(pages, server, client):
    one, two, three = pages(), pages(), pages()
    expired = one.lease(EXTRACTIONS, 0)
    (key,) = (key for key in server.client().scan_iter() if key.endswith(b":lease"))
    server.client().delete(key)
    assert isinstance(two.lease(EXTRACTIONS, 0), Lease)

    one.publish(expired, client.list_extractions(), one.earliest_time())

    assert isinstance(three.lease(EXTRACTIONS, three.latest_time()), LeasedElsewhere)


def test_older_page_does_not_replace_a_newer_one(pages, client):
    one, two = pages(), pages()
    slow, started = one.lease(EXTRACTIONS, 0), one.earliest_time()
    one.release(slow)
    wait_until_later(two, started)
    publish(two, client)
    newest = two.newer({EXTRACTIONS: 0})[EXTRACTIONS].sequence

    one.publish(slow, client.list_extractions(), started)

    assert two.newer({EXTRACTIONS: 0})[EXTRACTIONS].sequence == newest


def test_keys_expire_and_belong_to_one_slot_of_a_cluster(pages, server, client):
    shared = pages()
    shared.lease(LOADS, 0)
    publish(shared, client)

    redis = server.client()
    lifetimes = {key.rpartition(b"}")[2]: redis.pttl(key) for key in redis.scan_iter()}
    assert 0 < lifetimes[b":page:1:extractions:1"] <= PAGE_RETENTION_MS
    assert 0 < lifetimes[b":page:1:loads:1:lease"] <= LEASE_MS
    assert len({key.partition(b"}")[0] for key in redis.scan_iter()}) == 1


def test_accounts_do_not_share_pages(pages, client):
    publish(pages(), client)

    assert pages((ACCOUNT[0], 1)).newer({EXTRACTIONS: 0}) == {}


def test_redis_contains_no_secret_and_no_name_of_the_account(pages, server, client):
    publish(pages(), client)
    publish(pages(), client, LOADS)

    redis = server.client()
    contents = b"".join(key + b"".join(redis.hgetall(key).values()) for key in redis.scan_iter())
    assert b"hush" not in contents
    assert b"104857" not in b"".join(redis.scan_iter())


def test_content_of_another_version_is_ignored(pages, server, client):
    shared = pages()
    publish(shared, client)
    (key,) = server.client().scan_iter()
    server.client().hset(key, "page", b"something else")

    assert shared.newer({EXTRACTIONS: 0}) == {}


def test_nothing_is_shared_while_redis_is_unavailable(pages, server):
    shared = pages()
    server.kill()

    assert shared.newer({EXTRACTIONS: 0}) == {}
    assert shared.lease(EXTRACTIONS, 0) is None


# --- Pollers ------------------------------------------------------------------------------------------------


def test_pollers_of_several_processes_share_one_request(server, stitch, client):
    """Each thread has its own event loop and poller, so it behaves like a separate process."""
    client.redis = server.client()
    shared = account_pages(client.redis, (client.base_url, client.client_id))
    shared.newer({EXTRACTIONS: 0})
    wait_until_later(shared, shared._first_time)
    before = len(stitch.limited_requests)
    (source,) = client.list_sources()
    together, found = threading.Barrier(6), []

    async def poll() -> None:
        session = AccountSession(StitchCaller(client))
        query = ExtractionQuery(client, None, FRESH_ONLY, source.id)
        together.wait()
        result = await session.query(query, None)
        found.append(result.value.source_id)

    threads = [threading.Thread(target=lambda: asyncio.run(poll())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)

    assert found == [source.id] * 6
    assert 1 <= len(stitch.limited_requests) - before <= 2  # a slow thread may cause a second request
