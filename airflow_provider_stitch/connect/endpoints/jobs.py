"""Replication jobs, extractions and loads.

Source: Stitch Connect API, "Replication jobs", "Extractions", "Loads".
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.connect._answers import with_advice
from airflow_provider_stitch.connect._json import record, required_text
from airflow_provider_stitch.connect._pages import begins_later, sweeps, without_shifted
from airflow_provider_stitch.connect._refusals import refusal_about, why_not_started
from airflow_provider_stitch.connect.endpoints._base import Endpoint, EndpointGroup
from airflow_provider_stitch.connect.endpoints.sources import about_source
from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    InvalidArgument,
    StitchBadRequest,
    StitchError,
    StitchNotFound,
    UnexpectedAnswer,
)
from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log
from airflow_provider_stitch.connect.objects.jobs import (
    Extraction,
    Load,
    MalformedRecord,
    Page,
    ReplicationJob,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from airflow_provider_stitch.connect._answers import Answer

T = TypeVar("T")

REFUSALS = (400, 404, 405, 409, 410, 412, 422, 423)  #: statuses of a start that Stitch may refuse

START_REPLICATION_JOB = Endpoint("POST", "/v4/sources/{source_id}/sync")
STOP_REPLICATION_JOB = Endpoint("DELETE", "/v4/sources/{source_id}/sync")
LIST_EXTRACTIONS = Endpoint("GET", "/v4/{stitch_client_id}/extractions")
GET_EXTRACTION_LOG = Endpoint("GET", "/v4/{stitch_client_id}/extractions/{job_name}")
LIST_LOADS = Endpoint("GET", "/v4/{stitch_client_id}/loads")


class JobEndpoints(EndpointGroup):
    """Replication jobs, extractions and loads."""

    on_limited_request: Callable[[], None] | None
    request_budget: Callable[[], AbstractContextManager[None]] | None

    @property
    @abstractmethod
    def client_id(self) -> int:
        """The account's number."""

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
        about = about_source(source_id)
        # Which status a refusal has is not documented for all of them; its body tells.
        answer = self._ask_anything(START_REPLICATION_JOB, about, json={}, accept=REFUSALS)
        error = why_not_started(answer, about)
        if error is not None:
            raise error
        job_name = self._read(
            START_REPLICATION_JOB,
            answer,
            lambda body: required_text(record(body, "replication job"), "job_name"),
        )
        return ReplicationJob(job_name=job_name, source_id=source_id, answered_at=answer.answered_at)

    def stop_replication_job(self, source_id: int) -> None:
        """Stop whichever job of the source is extracting. What is extracted by then is still loaded.

        Repeated while Stitch is unavailable. That nothing was running is no error, as far as is known.

        :raises UnknownSource: the account has no such source.
        :raises StitchBadRequest: Stitch does not stop it.

        Source: Stitch Connect API, "Stop a replication job".
        """
        about = about_source(source_id)
        answer = self._ask_anything(STOP_REPLICATION_JOB, about, retry=True, body_due=False)
        if not answer.ok and not answer.names_no_source:
            # What a 404 means is not known: it may as well say that nothing is running.
            about = replace(
                about, what=f"job of source {source_id} that could be stopped", unknown=StitchNotFound
            )
        if not answer.ok:
            raise refusal_about(answer, about)
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
        return self._page(LIST_EXTRACTIONS, page, Extraction.from_json)

    def list_loads(self, page: int = 1) -> Page[Load]:
        """Return a page of each stream's latest load attempt. Order: by stream, in one of two documented
        ways.

        Covers 60 days. Counts against 30 requests per 10 minutes per account.

        Source: Stitch Connect API, "List last loads for an account", "Rate limits".
        """
        return self._page(LIST_LOADS, page, Load.from_json)

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

    def get_extraction_log(
        self, job_name: str, *, given_up: Callable[[], bool] = lambda: False
    ) -> ExtractionLog:
        """Read the log of one extraction job as a stream, without the token on the host that serves it.

        Counts against 30 requests per 10 minutes per account.

        :param given_up: asked after each piece of it; True ends the reading with StitchUnavailable.
        :raises ExtractionLogNotFound: Stitch has no log of that job.
        :raises InvalidArgument: that cannot be a job's name.

        Source: Stitch Connect API, "Get extraction logs", "Rate limits".
        """
        if not isinstance(job_name, str) or not job_name:
            raise InvalidArgument(f"{job_name!r} is not the name of a Stitch job.")
        path = GET_EXTRACTION_LOG.at({"stitch_client_id": self.client_id, "job_name": job_name})
        try:
            return self._transport.retrying(lambda: self._read_log(path, given_up))
        except StitchNotFound as error:
            not_found = ExtractionLogNotFound(
                f"{error} There is no extraction log of {job_name}. Stitch writes one some time after the "
                "start and keeps it for 1 to 60 days, depending on the plan."
            )
            not_found.job_name = job_name
        except StitchError as error:
            error.job_name = job_name
            # Only 401 and 404 are documented.
            error.is_doubtful = error.is_doubtful or isinstance(error, StitchBadRequest)
            raise
        raise not_found

    # Helpers, in the order of their use.

    def _page(self, endpoint: Endpoint, number: int, make: Callable[[object], T]) -> Page[T]:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidArgument(f"Pages are counted from 1; there is no page {number!r}.")
        answer = self._ask(
            endpoint,
            ids={"stitch_client_id": self.client_id},
            params={"page": number},
            around_each=self._limited_request,
        )
        page = self._read(
            endpoint,
            answer,
            lambda body: Page.from_json(body, make, number=number, answered_at=answer.answered_at),
        )
        return replace(page, malformed=tuple(self._explained(answer, each) for each in page.malformed))

    def _explained(self, answer: Answer, malformed: MalformedRecord) -> MalformedRecord:
        text = self._transport.redacted(f"{answer.asked}: {malformed.error}")
        return replace(malformed, error=UnexpectedAnswer(with_advice(text)))

    @contextmanager
    def _limited_request(self) -> Iterator[None]:
        if self.on_limited_request is not None:
            self.on_limited_request()
        with nullcontext() if self.request_budget is None else self.request_budget():
            yield

    def _read_log(self, path: str, given_up: Callable[[], bool]) -> ExtractionLog:
        with self._transport.open_text(path, around_each=self._limited_request, given_up=given_up) as chunks:
            return parse_extraction_log(chunks)
