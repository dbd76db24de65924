"""One request to Stitch: to the right host, within bounds of time and size, every failure a StitchError."""

from __future__ import annotations

import copy
import math
import time
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode, urlsplit

from airflow_provider_stitch.connect._addresses import (
    checked_base_url,
    checked_path,
    checked_token,
    host_of,
    is_loopback,
    origin,
)
from airflow_provider_stitch.connect._answers import (
    NOT_SHOWN,
    Answer,
    decode,
    parse_date,
    parse_retry_after,
    refusal,
    with_advice,
)
from airflow_provider_stitch.connect._clock import clock_of
from airflow_provider_stitch.connect._faults import guarded
from airflow_provider_stitch.connect._json import excerpt
from airflow_provider_stitch.connect._logs import absolute, failing_as_log, refuse_all_but_log, refuse_markup
from airflow_provider_stitch.connect._retries import pause_before_retry, retry_policy
from airflow_provider_stitch.connect._sessions import (
    BearerToken,
    NoAuth,
    Session,
    read_some,
    redacted,
    urllib3_kept_quiet,
)
from airflow_provider_stitch.connect.errors import (
    StitchConfigurationError,
    StitchError,
    StitchUnavailable,
    UnexpectedAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    import requests

__all__ = ["Answer", "Transport", "pause_before_retry", "refusal", "retry_policy"]

T = TypeVar("T")

LARGEST_BODY = 64 * 1024 * 1024  #: bytes of a JSON body, decompressed
LONGEST_BODY = 4  #: a JSON body may take so many times the request timeout
LONGEST_LOG = 20  #: a log may take so many times the request timeout
MIN_LOG_RATE = 10_000  #: bytes per second, on average, once a log has taken as long as the request timeout
MOST_LOG_REDIRECTS = 3  #: from the pre-signed URL onwards
LONGEST_TIMEOUT = 86_400.0  #: seconds; sockets take only so much

_JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_FORM_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
_REDIRECTS = (301, 302, 303, 307, 308)


class Transport:
    """Sends requests to one Stitch, with one token or none. May be used by several threads at once.

    :param base_url: `https://host`; plain HTTP only to this machine's loopback.
    :param access_token: an API access token; None sends no credentials.
    :param secrets: other secrets that requests will hold, to be kept out of messages.
    :param request_timeout: seconds to wait for a connection, for the head of an answer, and for each next
        part of its body.
    :param retry_for: seconds for which requests that can be repeated are repeated while Stitch is
        unavailable; 0 means one try.
    :raises StitchConfigurationError: any of these cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        access_token: str | None,
        *,
        secrets: Sequence[str] = (),
        request_timeout: float = 30.0,
        retry_for: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self.request_timeout = _seconds("request_timeout", request_timeout, 0.001, LONGEST_TIMEOUT)
        self.retry_for = _seconds("retry_for", retry_for, 0.0, math.inf)
        self._sleep = sleep
        self._monotonic = monotonic
        self._auth = (
            NoAuth() if access_token is None else BearerToken(self.base_url, checked_token(access_token))
        )
        self._secrets = (*secrets, *([] if access_token is None else [access_token]))
        self._is_local = is_loopback(urlsplit(self.base_url).hostname or "")
        # A proxy gets to see what is sent over plain HTTP, and has no way to our loopback anyway.
        self._session = Session(trust_env=not self._is_local, headers=_JSON_HEADERS)
        self._clock = clock_of(self.base_url, monotonic)

    def __repr__(self) -> str:
        return f"Transport({urlsplit(self.base_url).netloc})"

    @property
    def stitch_time(self) -> datetime | None:
        """Stitch's time now (UTC), by the responses so far; None before any response showed it."""
        return self._clock.now(self._monotonic())

    def learn_past(self, moment: datetime) -> None:
        """Record that a moment has passed for Stitch, in case no response has a `Date`."""
        self._clock.learn_past(moment, self._monotonic())

    def with_retries(self, retry_for: float) -> Transport:
        """Return this transport with another patience; connections are shared."""
        other = copy.copy(self)
        other.retry_for = _seconds("retry_for", retry_for, 0.0, math.inf)
        return other

    def close(self) -> None:
        self._session.close()

    def redacted(self, text: str) -> str:
        """Return a text without the token, in case that somebody sent it back to us."""
        return redacted(text, self._secrets)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, int | str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        confidential: bool = False,
        accept: Container[int] = (),
        body_due: bool = True,
        retry: bool | None = None,
        around_each: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Answer:
        """Send a request and return the answer, its body decoded.

        :param path: from `/`, ids and names in it quoted.
        :param form: a body in the form of HTML forms, instead of `json`.
        :param secrets: what the request holds and no message may.
        :param confidential: a success holds a secret, so it is not shown where it is not what it should be.
        :param accept: codes besides 2xx whose answer is returned; all others raise.
        :param body_due: an empty 2xx body is an error.
        :param retry: may be repeated; by default only a GET may.
        :param around_each: makes the context in which each try is sent, up to the head of its answer.
        :raises StitchError: see `refusal` for what each code becomes.
        """
        checked_path(path)
        request = _Request(
            method, path, params, json, form, (*self._secrets, *secrets), confidential, around_each
        )

        def attempt() -> Answer:
            with closing(self._send(request)) as response:
                answer = self._answer(request, response)
            if answer.ok and answer.body is None and body_due:
                raise UnexpectedAnswer(f"{answer.asked} (HTTP {answer.status}): the answer is empty.")
            if not answer.ok and (answer.status not in accept or answer.is_page):
                raise refusal(answer)
            return answer

        if method == "GET" if retry is None else retry:
            return self.retrying(attempt, garbled_too=method == "GET")
        return self._without_token(attempt)

    def retrying(self, attempt: Callable[[], T], *, garbled_too: bool = True) -> T:
        """Do something until it works, for at most `retry_for` seconds.

        :param garbled_too: also after UnexpectedAnswer, such as a body that was cut.
        """
        if not self.retry_for:
            return self._without_token(attempt)
        kinds = (StitchUnavailable, UnexpectedAnswer) if garbled_too else (StitchUnavailable,)
        policy = retry_policy(self.retry_for, kinds=kinds, sleep=self._sleep, monotonic=self._monotonic)
        result: T = policy(self._without_token, attempt)
        return result

    @contextmanager
    def open_text(
        self,
        path: str,
        *,
        around_each: Callable[[], AbstractContextManager[None]] = nullcontext,
        given_up: Callable[[], bool] = lambda: False,
    ) -> Iterator[Iterator[bytes]]:
        """Open a text that Stitch serves itself or, as documented, by a redirect to another host. One try.

        :param given_up: asked after each piece; True ends the reading with StitchUnavailable.
        :raises ExtractionLogUnavailable: the other host does not answer, or the address has expired.
        :raises StitchError: as `request` and `fetch_text` do; also while the text is read.
        """
        checked_path(path)
        request = _Request("GET", path, secrets=self._secrets, around_each=around_each)
        with closing(self._send(request)) as response:
            location = response.headers.get("Location")
            if response.status_code == 200:
                refuse_markup(self._asked(request), response)
                with failing_as_log():
                    yield self._chunks(self._asked(request), response, LONGEST_LOG, given_up=given_up)
                return
            if response.status_code not in _REDIRECTS or not location:
                raise refusal(self._answer(request, response))
        url = absolute(self.base_url, location)
        with failing_as_log(), self.fetch_text(url, given_up=given_up) as chunks:
            yield chunks

    @contextmanager
    def fetch_text(
        self, url: str, *, given_up: Callable[[], bool] = lambda: False
    ) -> Iterator[Iterator[bytes]]:
        """Open a text on the host that a pre-signed URL names, without the token. One try.

        The URL is a credential of its own: it appears in no message, log or repr.

        :raises StitchUnavailable: the host does not answer, or the URL has expired.
        :raises UnexpectedAnswer: the URL, or what is there, is not what it should be.

        Source: Stitch Connect API, "Get extraction logs".
        """
        host = ""
        for _ in range(1 + MOST_LOG_REDIRECTS):
            host = self._checked_log_host(url)
            asked = f"GET <the extraction log at {host}>"
            with (
                Session(trust_env=not is_loopback(host)) as session,
                closing(self._fetch(asked, session, url)) as response,
            ):
                location = response.headers.get("Location")
                if response.status_code in _REDIRECTS and location:
                    url = absolute(url, location)
                    continue
                refuse_all_but_log(asked, response)
                yield self._chunks(asked, response, LONGEST_LOG, given_up=given_up)
                return
        raise UnexpectedAnswer(
            f"GET <the extraction log at {host}>: more than {MOST_LOG_REDIRECTS} redirects."
        )

    # The steps of one try.

    def _asked(self, request: _Request) -> str:
        """Return what messages call a request."""
        query = f"?{urlencode(request.params)}" if request.params else ""
        return f"{request.method} {self.base_url}{request.path}{query}"

    def _send(self, request: _Request) -> requests.Response:
        with request.around_each():
            response = guarded(
                self._asked(request),
                self.request_timeout,
                lambda: self._session.request(
                    request.method,
                    f"{self.base_url}{request.path}",
                    params=request.params,
                    json=request.json,
                    data=request.form,
                    headers=None if request.form is None else _FORM_HEADERS,
                    auth=self._auth,
                    timeout=self.request_timeout,
                    allow_redirects=False,
                    stream=True,
                ),
            )
            self._clock.learn_date(parse_date(response.headers.get("Date")), self._monotonic())
            if response.status_code == 429:  # the budget has to learn of it
                with closing(response):
                    raise refusal(self._answer(request, response))
        return response

    def _fetch(self, asked: str, session: Session, url: str) -> requests.Response:
        with urllib3_kept_quiet():
            return guarded(
                asked,
                self.request_timeout,
                lambda: session.get(
                    url, auth=NoAuth(), timeout=self.request_timeout, allow_redirects=False, stream=True
                ),
            )

    def _answer(self, request: _Request, response: requests.Response) -> Answer:
        asked, status = self._asked(request), response.status_code
        if 300 <= status < 400:
            # Its body is not shown: it may repeat the address, which may be a credential.
            raise UnexpectedAnswer(
                f"{asked} (HTTP {status}): a redirect to {host_of(response.headers.get('Location'))}, where "
                "none is due. It was not followed."
            )
        # A response without a usable Date is dated by earlier ones.
        answered_at = parse_date(response.headers.get("Date")) or self.stitch_time
        hidden = request.confidential and status < 300
        content = b"".join(self._chunks(asked, response, LONGEST_BODY, LARGEST_BODY, hidden=hidden))
        if status >= 300:  # an error may repeat what was sent, and is shown
            content = redacted(content.decode("utf-8", errors="replace"), request.secrets).encode()
        return Answer(
            asked=asked,
            status=status,
            body=decode(asked, status, content, confidential=hidden),
            answered_at=answered_at,
            retry_after=parse_retry_after(response.headers.get("Retry-After"), answered_at),
            redacted=partial(redacted, secrets=request.secrets),
        )

    def _chunks(
        self,
        asked: str,
        response: requests.Response,
        longest: int,
        largest: int | None = None,
        *,
        hidden: bool = False,
        given_up: Callable[[], bool] = lambda: False,
    ) -> Iterator[bytes]:
        """Yield the body as it arrives. The read timeout alone would let a byte a second go on for ever."""
        began_at, min_rate = self._monotonic(), MIN_LOG_RATE if longest == LONGEST_LOG else 0
        size, beginning = 0, b""
        while chunk := guarded(asked, self.request_timeout, lambda: read_some(response)):
            size, beginning = size + len(chunk), beginning or chunk[:200]
            if largest is not None and size > largest:
                shown = NOT_SHOWN if hidden else excerpt(beginning.decode("utf-8", errors="replace"))
                raise UnexpectedAnswer(
                    f"{asked}: the answer has more than {largest} bytes. It begins: {shown}"
                )
            took = self._monotonic() - began_at
            # Few logs are read at a time, so one that trickles must not hold the place of another.
            trickles = took > self.request_timeout and size < min_rate * took
            if trickles or took > longest * self.request_timeout:
                seconds = self.request_timeout * (1 if trickles else longest)
                raise StitchUnavailable(
                    f"{asked}: the answer was not complete after {seconds:g} s. Check the network and "
                    "Stitch's status page; if answers are slow, raise the connection's request_timeout."
                )
            if given_up():
                raise StitchUnavailable(f"{asked}: it was not read to its end, for nobody waits for it.")
            yield chunk

    def _without_token(self, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except StitchError as error:
            text = self.redacted(str(error))
            error.args = (with_advice(text) if isinstance(error, UnexpectedAnswer) else text,)
            raise

    def _checked_log_host(self, url: str) -> str:
        try:
            scheme, host, _ = origin(url)
        except ValueError:
            scheme, host = "", ""
        # Plain HTTP is for a Stitch on this machine; a real one must not lead us to this machine's services.
        if host and (scheme == "https" or (scheme == "http" and self._is_local and is_loopback(host))):
            return host
        raise UnexpectedAnswer("Stitch names a place for the extraction log that is not an https:// address.")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    params: Mapping[str, int | str] | None = None
    json: object = None
    form: Mapping[str, str] | None = None
    secrets: tuple[str, ...] = ()
    confidential: bool = False
    around_each: Callable[[], AbstractContextManager[None]] = nullcontext


def _seconds(name: str, value: float, least: float, most: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and least <= value <= most:
        return float(value)
    raise StitchConfigurationError(
        f"{name} must be a number of seconds, from {least:g} to {most:g}; it is {value!r}."
    )
