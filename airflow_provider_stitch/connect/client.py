"""The Stitch Connect API: one short method per endpoint.

Every method raises StitchError and nothing else. The kinds that any of them can raise are StitchUnauthorized,
StitchUnavailable (RateLimited too) and UnexpectedAnswer; others are named where they belong. Messages say
what was asked, what Stitch said, and what to do now, and never hold the token.
"""

from __future__ import annotations

import copy
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_stitch.connect._addresses import segment
from airflow_provider_stitch.connect._answers import Answer, refusal, unknown_source, why_not_started
from airflow_provider_stitch.connect._json import excerpt, record, required_text
from airflow_provider_stitch.connect._pages import begins_later, sweeps, without_shifted
from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    InvalidArgument,
    StitchBadRequest,
    StitchConfigurationError,
    StitchError,
    StitchNotFound,
    UnexpectedAnswer,
)
from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log
from airflow_provider_stitch.connect.objects import (
    ConnectionCheck,
    Destination,
    Extraction,
    Load,
    Page,
    ReplicationJob,
    Source,
    Stream,
)
from airflow_provider_stitch.connect.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from types import TracebackType

    from typing_extensions import Self

T = TypeVar("T")

DEFAULT_BASE_URL = "https://api.stitchdata.com"


class StitchClient:
    """One Stitch account, as its access token sees it. May be used by several threads at once.

    :param access_token: an API access token; partner credentials (`oc_...`) are refused.
    :param base_url: HTTPS, or plain HTTP on this machine's loopback.
    :param client_id: the account's number; found from the account's sources or destinations if not given.
    :param request_timeout: seconds to wait for a connection, and for each next part of an answer.
    :param requests_per_10_minutes: of those that Stitch limits, how many whoever waits with this client may
        send. Kept here for them; the client itself does not count.
    :param retry_for: seconds for which requests are repeated while Stitch is unavailable; 0 means one try.
        Starting a job is never repeated.
    :raises StitchConfigurationError: any of these cannot be used.
    """

    def __init__(
        self,
        access_token: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        client_id: int | None = None,
        request_timeout: float = 30.0,
        requests_per_10_minutes: int = 30,
        retry_for: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = Transport(
            base_url,
            access_token,
            request_timeout=request_timeout,
            retry_for=retry_for,
            sleep=sleep,
            monotonic=monotonic,
        )
        self.base_url = self._transport.base_url
        self.request_timeout = self._transport.request_timeout
        self.requests_per_10_minutes = _positive("requests_per_10_minutes", requests_per_10_minutes)
        self._account = _Account(None if client_id is None else _positive("client_id", client_id))
        #: Called right before each request that Stitch limits, each retry included. Whoever keeps the budget
        #: sets it.
        self.on_limited_request: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"StitchClient({self.base_url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, also those of clients made by `with_retries`."""
        self._transport.close()

    def with_retries(self, retry_for: float) -> StitchClient:
        """Return this client with another patience (seconds). Connections and the client id are shared."""
        other = copy.copy(self)
        other._transport = self._transport.with_retries(retry_for)  # noqa: SLF001 - it is one of us
        return other

    @property
    def latest_answer_at(self) -> datetime | None:
        """Stitch's own time (UTC) of the newest answer, None before the first."""
        return self._transport.latest_answer_at

    @property
    def client_id(self) -> int:
        """The account's number. Asks Stitch for sources, then destinations, if it is not known yet.

        :raises StitchConfigurationError: the account has neither, so nothing tells.
        """
        with self._account.lock:
            if self._account.client_id is None:
                self._account.client_id = self._find_client_id()
            return self._account.client_id

    # Destinations, sources, streams: not limited.

    def list_destinations(self) -> list[Destination]:
        """Return the account's destinations. Source: Stitch Connect API, "List destinations"."""
        return self._list("/v4/destinations", Destination.from_json)

    def list_sources(self) -> list[Source]:
        """Return all sources: active, paused and deleted. Source: Stitch Connect API, "List sources"."""
        return self._list("/v4/sources", Source.from_json)

    def get_source(self, source_id: int) -> Source:
        """Return one source: active, paused or deleted.

        :raises UnknownSource: the account has no such source.

        Source: Stitch Connect API, "Retrieve a source".
        """
        answer = self._ask_about(source_id, "GET", "")
        if not answer.ok:
            raise unknown_source(answer, source_id)
        return self._parse(answer, Source.from_json)

    def get_last_connection_check(self, source_id: int) -> ConnectionCheck:
        """Return the last connection check of a source, whoever caused it.

        :raises StitchNotFound: there was none, or there is no such source; Stitch does not tell which.

        Source: Stitch Connect API, "Retrieve last connection check".
        """
        answer = self._ask_about(source_id, "GET", "/last-connection-check")
        if answer.status == 404:
            raise StitchNotFound(
                f"{answer.asked} (HTTP 404): Stitch has no connection check of source {source_id}. Either it "
                "was never checked, or the account has no such source.",
                source_id=source_id,
            )
        if not answer.ok:
            raise unknown_source(answer, source_id)
        return self._parse(answer, ConnectionCheck.from_json)

    def list_streams(self, source_id: int) -> list[Stream]:
        """Return the streams that the last structure sync found. Right after a change, one job behind.

        :raises UnknownSource: the account has no such source.

        Source: Stitch Connect API, "List streams".
        """
        answer = self._ask_about(source_id, "GET", "/streams")
        if not answer.ok:
            raise unknown_source(answer, source_id)
        return self._parse(answer, lambda body: _each(body, Stream.from_json))

    # Replication jobs: not limited.

    def start_replication_job(self, source_id: int) -> ReplicationJob:
        """Start a replication job. One attempt, never repeated here: a lost answer may be that of a started
        job.

        :raises JobAlreadyRunning: one is running, whoever started it. Stitch does not say which.
        :raises UnknownSource: the account has no such source.
        :raises DeletedSource: the source is deleted. (A paused one can be started.)
        :raises JobNotStarted: Stitch says no for another reason.
        :raises StitchUnavailable: with `maybe_received` true the job may run all the same.
        :raises UnexpectedAnswer: so it may here.

        Source: Stitch Connect API, "Start a replication job".
        """
        answer = self._ask_about(source_id, "POST", "/sync", json={})
        error = why_not_started(answer, source_id)
        if error is not None:
            raise error
        job_name = self._parse(
            answer, lambda body: required_text(record(body, "replication job"), "job_name")
        )
        return ReplicationJob(job_name=job_name, source_id=source_id, answered_at=answer.answered_at)

    def stop_replication_job(self, source_id: int) -> None:
        """Stop whichever job of the source is extracting. What is extracted by then is still loaded.

        Repeated while Stitch is unavailable. That nothing was running is no error, as far as is known.

        :raises UnknownSource: the account has no such source.
        :raises StitchBadRequest: Stitch does not stop it.

        Source: Stitch Connect API, "Stop a replication job".
        """
        answer = self._ask_about(source_id, "DELETE", "/sync", retry=True, body_due=False)
        if answer.names_no_source:
            raise unknown_source(answer, source_id)
        if not answer.ok:
            error = refusal(answer)
            error.source_id = source_id
            raise error
        if isinstance(answer.body, dict) and answer.body.get("error") is not None:
            raise StitchBadRequest(
                f"{answer.asked}: Stitch did not stop the job of source {source_id}. It says: {answer.said}",
                source_id=source_id,
            )

    # Extractions and loads: limited.

    def list_extractions(self, page: int = 1) -> Page[Extraction]:
        """Return a page of each source's last completed extraction job, by ascending source id.

        Covers 60 days, and paused and deleted sources too. A running job is not (reliably) listed.
        Counts against 30 requests per 10 minutes per account.

        Source: Stitch Connect API, "List last extraction jobs for an account", "Rate limits".
        """
        return self._page("extractions", page, Extraction.from_json)

    def list_loads(self, page: int = 1) -> Page[Load]:
        """Return a page of each stream's latest load attempt. Order: by stream, in one of two documented
        ways.

        Covers 60 days. Counts against 30 requests per 10 minutes per account.

        Source: Stitch Connect API, "List last loads for an account", "Rate limits".
        """
        return self._page("loads", page, Load.from_json)

    def all_extractions(self) -> list[Extraction]:
        """Return the records of all pages, one per source: the newest, where shifting pages held two.

        A request per page, each limited; all once more if the list changed meanwhile. Even so absence proves
        nothing: a record may slip through between two requests.
        """
        newest: dict[int, Extraction] = {}
        for sweep in sweeps(self.list_extractions):
            for extraction in (each for page in sweep for each in page.records):
                known = newest.get(extraction.source_id)
                if known is None or begins_later(extraction, known):
                    newest[extraction.source_id] = extraction
        return [newest[source_id] for source_id in sorted(newest)]

    def all_loads(self) -> list[Load]:
        """Return the records of all pages. Two may share source and stream name, for two streams.

        A request per page, each limited; all once more if the list changed meanwhile, then with what only the
        first sweep saw. Even so absence proves nothing.
        """
        *earlier, last = sweeps(self.list_loads)
        loads = without_shifted(last)
        names = {(load.source_name, load.stream_name) for load in loads}
        for sweep in earlier:
            missed = [
                each for each in without_shifted(sweep) if (each.source_name, each.stream_name) not in names
            ]
            loads += missed
        return loads

    def get_extraction_log(self, job_name: str) -> ExtractionLog:
        """Read the log of one extraction job as a stream, without the token on the host that serves it.

        Counts against 30 requests per 10 minutes per account.

        :raises ExtractionLogNotFound: Stitch has no log of that job.
        :raises InvalidArgument: that cannot be a job's name.

        Source: Stitch Connect API, "Get extraction logs", "Rate limits".
        """
        if not isinstance(job_name, str) or not job_name:
            raise InvalidArgument(f"{job_name!r} is not the name of a Stitch job.")
        path = f"/v4/{self.client_id}/extractions/{segment(job_name)}"
        try:
            return self._transport.retrying(lambda: self._read_log(path))
        except StitchNotFound as error:
            not_found = ExtractionLogNotFound(
                f"{error} There is no extraction log of {job_name}. Stitch writes one some time after the "
                "start and keeps it for 1 to 60 days, depending on the plan."
            )
            not_found.job_name = job_name
        except StitchError as error:
            error.job_name = job_name
            raise
        raise not_found

    # Helpers, in the order of their use.

    def _find_client_id(self) -> int:
        listings: tuple[Callable[[], Sequence[Source | Destination]], ...]
        listings = (self.list_sources, self.list_destinations)
        for listing in listings:
            for each in listing():
                if each.stitch_client_id is not None:
                    return each.stitch_client_id
        raise StitchConfigurationError(
            "The account has no source and no destination, so its Stitch client id cannot be found. Set it "
            "as the connection's login: it is the number after /client/ in the address of the Stitch app."
        )

    def _list(self, path: str, make: Callable[[object], T]) -> list[T]:
        return self._parse(self._transport.request("GET", path), lambda body: _each(body, make))

    def _ask_about(self, source_id: int, method: str, path: str, **options: Any) -> Answer:
        """Send a request about one source. A 400 or 404 comes back: its meaning depends on the request."""
        if not isinstance(source_id, int) or isinstance(source_id, bool) or source_id < 1:
            raise InvalidArgument(f"A source id is a positive integer, not {source_id!r}.")
        try:
            return self._transport.request(
                method, f"/v4/sources/{source_id}{path}", accept=(400, 404), **options
            )
        except StitchError as error:
            error.source_id = source_id
            raise

    def _parse(self, answer: Answer, make: Callable[[object], T]) -> T:
        try:
            return make(answer.body)
        except UnexpectedAnswer as error:
            error.args = (self._transport.redacted(f"{answer.asked}: {error}"),)
            raise

    def _page(self, what: str, number: int, make: Callable[[object], T]) -> Page[T]:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidArgument(f"Pages are counted from 1; there is no page {number!r}.")
        answer = self._transport.request(
            "GET",
            f"/v4/{self.client_id}/{what}",
            params={"page": number},
            before_each=self._before_limited,
        )
        return self._parse(
            answer,
            lambda body: Page.from_json(body, make, number=number, answered_at=answer.answered_at),
        )

    def _before_limited(self) -> None:
        if self.on_limited_request is not None:
            self.on_limited_request()

    def _read_log(self, path: str) -> ExtractionLog:
        with self._transport.open_text(path, before_each=self._before_limited) as chunks:
            return parse_extraction_log(chunks)


class _Account:
    """What is known of the account, shared by all clients of one session."""

    def __init__(self, client_id: int | None) -> None:
        self.client_id = client_id
        self.lock = threading.Lock()


def _each(body: object, make: Callable[[object], T]) -> list[T]:
    if not isinstance(body, list):
        raise UnexpectedAnswer(f"A JSON array is due: {excerpt(body)}")
    return [make(each) for each in body]


def _positive(name: str, value: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise StitchConfigurationError(f"{name} must be a positive integer; it is {value!r}.")
