"""Endpoints for replication jobs, extractions and loads.

Source: Stitch Connect API, "Replication jobs", "Extractions", "Loads".
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_stitch.connect.endpoints._base import AccountEndpoints, Endpoint, source_context
from airflow_provider_stitch.connect.endpoints.api_errors import api_error, start_error
from airflow_provider_stitch.connect.endpoints.pagination import is_newer, read_all_pages, without_moved_loads
from airflow_provider_stitch.connect.errors import (
    ExtractionLogNotFound,
    InvalidArgument,
    StitchBadRequest,
    StitchError,
    StitchNotFound,
    UnexpectedResponse,
)
from airflow_provider_stitch.connect.extraction_log import ExtractionLog, parse_extraction_log
from airflow_provider_stitch.connect.objects.jobs import (
    Extraction,
    Load,
    MalformedRecord,
    Page,
    ReplicationJob,
)
from airflow_provider_stitch.connect.objects.json import json_object, required_string
from airflow_provider_stitch.connect.raw_log import RawExtractionLog
from airflow_provider_stitch.connect.references import SourceNames
from airflow_provider_stitch.connect.transport.log_download import open_log
from airflow_provider_stitch.connect.transport.response import with_proxy_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from airflow_provider_stitch.connect.objects.sources import Source
    from airflow_provider_stitch.connect.transport.response import Response

T = TypeVar("T")

#: Status codes that Stitch may return if it does not start a job.
START_ERROR_STATUSES = (400, 404, 405, 409, 410, 412, 422, 423)

START_REPLICATION_JOB = Endpoint("POST", "/v4/sources/{source_id}/sync")
STOP_REPLICATION_JOB = Endpoint("DELETE", "/v4/sources/{source_id}/sync")
LIST_EXTRACTIONS = Endpoint("GET", "/v4/{stitch_client_id}/extractions")
GET_EXTRACTION_LOG = Endpoint("GET", "/v4/{stitch_client_id}/extractions/{job_name}")
LIST_LOADS = Endpoint("GET", "/v4/{stitch_client_id}/loads")


class JobEndpoints(AccountEndpoints):
    """Endpoints for replication jobs, extractions and loads."""

    on_limited_request: Callable[[], None] | None
    request_budget: Callable[[], AbstractContextManager[None]] | None

    @property
    @abstractmethod
    def client_id(self) -> int:
        """The account number."""

    # Requests for replication jobs, which are not rate-limited.

    def start_replication_job(self, source: int | str) -> ReplicationJob:
        """Start a replication job.

        The request is never retried, because Stitch may have started the job even if the response was lost.

        A job can be started even if its source is paused.

        :raises JobAlreadyRunning: if a job of this source is already running. Stitch's response does not
            contain the name of the running job.
        :raises UnknownSource: if the account has no such source.
        :raises DeletedSource: if the source is deleted.
        :raises JobNotStarted: if Stitch rejects the start for another reason.
        :raises StitchUnavailable: if Stitch is unavailable. If `maybe_received` is True, the job may be
            running.
        :raises UnexpectedResponse: if the response is invalid. Despite an UnexpectedResponse, the job may be
            running.

        Source: Stitch Connect API, "Start a replication job".
        """
        source_id = self._source_id(source)
        context = source_context(source_id)
        # Stitch does not document the status codes of some errors, so the error is identified by the response
        # body.
        response = self._request_unchecked(
            START_REPLICATION_JOB, context, json={}, accept=START_ERROR_STATUSES
        )
        error = start_error(response, context)
        if error is not None:
            raise error
        job_name = self._parse(
            START_REPLICATION_JOB,
            response,
            lambda body: required_string(json_object(body, "replication job"), "job_name"),
        )
        return ReplicationJob(job_name=job_name, source_id=source_id, responded_at=response.responded_at)

    def stop_replication_job(self, source: int | str) -> None:
        """Stop the running extraction of a source. Stitch then loads the rows that were already extracted.

        The request is retried while Stitch is unavailable. Stitch does not document whether it reports an
        error if no extraction was running.

        :raises UnknownSource: if the account has no such source.
        :raises StitchBadRequest: if Stitch does not stop the job.

        Source: Stitch Connect API, "Stop a replication job".
        """
        source_id = self._source_id(source)
        context = source_context(source_id)
        response = self._request_unchecked(STOP_REPLICATION_JOB, context, retry=True, expects_body=False)
        if not response.ok and not response.is_invalid_source:
            # Stitch does not document when the request to stop a job fails with status 404. The status may
            # mean that no job is running.
            context = replace(
                context, subject=f"job of source {source_id} that could be stopped", not_found=StitchNotFound
            )
        if not response.ok:
            raise api_error(response, context)
        if isinstance(response.body, dict) and response.body.get("error") is not None:
            raise StitchBadRequest(
                f"{response.request_line}: Stitch did not stop the job of source {source_id}. "
                f"Stitch's message: {response.message}",
                source_id=source_id,
            )

    # Requests for extractions and loads, which are limited to 30 per 10 minutes per account.

    def list_extractions(self, page: int = 1) -> Page[Extraction]:
        """Return one page of the account's extractions.

        The list contains the last completed extraction job of each source, sorted by ascending source id. The
        list covers the last 60 days and includes the jobs of paused and deleted sources. The list usually
        does not include running jobs. The request counts toward the limit of 30 requests per 10 minutes per
        account.

        Source: Stitch Connect API, "List last extraction jobs for an account", "Rate limits".
        """
        return self._page(LIST_EXTRACTIONS, page, Extraction.from_json)

    def list_loads(self, page: int = 1) -> Page[Load]:
        """Return one page of the account's loads, without source ids.

        The list contains the latest load attempt of each stream in the last 60 days. Stitch's documentation
        is inconsistent about the order of the list. The request counts toward the limit of 30 requests per 10
        minutes per account.

        Source: Stitch Connect API, "List last loads for an account", "Rate limits".
        """
        return self._page(LIST_LOADS, page, Load.from_json)

    def all_extractions(self) -> list[Extraction]:
        """Read all pages of the list, and return each source's last completed extraction.

        Each page requires one rate-limited request. All pages are read again if the length of the list
        changed during the first pass. If the pages contain several extractions of a source, the newest
        extraction is used. A source can be missing from the result, because a record can move to another page
        between two requests.
        """
        newest: dict[int, Extraction] = {}
        for pages in read_all_pages(self.list_extractions):
            for extraction in (each for page in pages for each in page.records):
                known = newest.get(extraction.source_id)
                if known is None or is_newer(extraction, known):
                    newest[extraction.source_id] = extraction
        return [newest[source_id] for source_id in sorted(newest)]

    def all_loads(self, *, sources: Sequence[Source] | None = None) -> list[Load]:
        """Read all pages of the list, and return each stream's latest load attempt with its source id.

        Two streams may have the same source name and stream name. A load contains only the name of its
        source, and a new source may reuse the name of a deleted source. If several sources match a load, the
        load is assigned to the last source that was created before the load, or to the newest source if the
        load has an error.

        Each page requires one rate-limited request. All pages are read again if the length of the list
        changed during the first pass. After a second pass, the result also includes the loads that only the
        first pass returned. A load can be missing from the result, because a record can move to another page
        between two requests.

        :param sources: all sources in the account. If None, the sources are requested from Stitch. A request
            for all sources is not rate-limited.
        """
        *earlier, last = read_all_pages(self.list_loads)
        loads = without_moved_loads(last)
        known = {(load.source_name, load.stream_name) for load in loads}
        for pages in earlier:
            missed = [
                each
                for each in without_moved_loads(pages)
                if (each.source_name, each.stream_name) not in known
            ]
            loads += missed
        if not loads:
            return []
        names = SourceNames(self.list_sources() if sources is None else sources)
        return [replace(load, source_id=names.source_id(load)) for load in loads]

    def get_extraction_log(
        self, job_name: str, *, should_abort: Callable[[], bool] = lambda: False
    ) -> ExtractionLog:
        """Download and parse the log of one extraction job.

        The token is not sent to the log host.

        The request counts toward the limit of 30 requests per 10 minutes per account.

        :param should_abort: a function that is called after each chunk of the log. If the function returns
            True, the download is aborted with StitchUnavailable.
        :raises ExtractionLogNotFound: if Stitch has no log of the requested job.
        :raises InvalidArgument: if the job name is empty or not a string.

        Source: Stitch Connect API, "Get extraction logs", "Rate limits".
        """
        path = self._log_path(job_name)
        with _log_errors(job_name):
            return self._transport.run_with_retries(lambda: self._read_log(path, should_abort))

    @contextmanager
    def open_extraction_log(self, job_name: str) -> Iterator[RawExtractionLog]:
        """Open the log of one extraction job to read its lines or to save it to a file.

        Call this method in a `with` statement. The log is downloaded while it is read, so even a large log
        uses little memory. The request for the log is retried while Stitch is unavailable. A failed download
        is not retried.

        The request counts toward the limit of 30 requests per 10 minutes per account.

        :raises ExtractionLogNotFound: if Stitch has no log of the requested job.
        :raises InvalidArgument: if the job name is empty or not a string.

        Source: Stitch Connect API, "Get extraction logs", "Rate limits".
        """
        path = self._log_path(job_name)
        with ExitStack() as stack:
            with _log_errors(job_name):
                chunks = self._transport.run_with_retries(
                    lambda: stack.enter_context(
                        open_log(self._transport, path, attempt_context=self._limited_request)
                    )
                )
            log = RawExtractionLog(job_name, self._log_chunks(job_name, chunks))
            stack.callback(log.close)
            yield log

    # Helpers, in the order in which they are first used.

    def _page(self, endpoint: Endpoint, number: int, parse: Callable[[object], T]) -> Page[T]:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidArgument(f"Page numbers start at 1, so there is no page {number!r}.")
        response = self._request(
            endpoint,
            ids={"stitch_client_id": self.client_id},
            params={"page": number},
            attempt_context=self._limited_request,
        )
        page = self._parse(
            endpoint,
            response,
            lambda body: Page.from_json(body, parse, number=number, responded_at=response.responded_at),
        )
        return replace(
            page, malformed=tuple(self._with_request_line(response, each) for each in page.malformed)
        )

    def _with_request_line(self, response: Response, malformed: MalformedRecord) -> MalformedRecord:
        text = self._transport.redact(f"{response.request_line}: {malformed.error}")
        return replace(malformed, error=UnexpectedResponse(with_proxy_hint(text)))

    @contextmanager
    def _limited_request(self) -> Iterator[None]:
        if self.on_limited_request is not None:
            self.on_limited_request()
        with nullcontext() if self.request_budget is None else self.request_budget():
            yield

    def _log_path(self, job_name: str) -> str:
        if not isinstance(job_name, str) or not job_name:
            raise InvalidArgument(f"{job_name!r} is not the name of a Stitch job.")
        return GET_EXTRACTION_LOG.path_for({"stitch_client_id": self.client_id, "job_name": job_name})

    def _log_chunks(self, job_name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            with _log_errors(job_name):
                yield from chunks
        except StitchError as error:
            error.args = (self._transport.redact(str(error)),)
            raise

    def _read_log(self, path: str, should_abort: Callable[[], bool]) -> ExtractionLog:
        with open_log(
            self._transport, path, attempt_context=self._limited_request, should_abort=should_abort
        ) as chunks:
            return parse_extraction_log(chunks)


@contextmanager
def _log_errors(job_name: str) -> Iterator[None]:
    """Add the job name to errors that occur when an extraction log is requested."""
    try:
        yield
    except StitchNotFound as error:
        not_found = ExtractionLogNotFound(
            f"{error} There is no extraction log of {job_name}. Stitch writes one some time after the "
            "start and keeps it for 1 to 60 days, depending on the plan."
        )
        not_found.job_name = job_name
    except StitchError as error:
        error.job_name = job_name
        # Stitch documents only the status codes 401 and 404 for this request, so a StitchBadRequest must be
        # confirmed by a second request.
        error.needs_confirmation = error.needs_confirmation or isinstance(error, StitchBadRequest)
        raise
    else:
        return
    raise not_found
