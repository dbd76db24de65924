"""The client for Stitch partners, which creates accounts and obtains access to existing accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_provider_stitch.connect.endpoints.accounts import PartnerEndpoints
from airflow_provider_stitch.connect.transport.request import Transport
from airflow_provider_stitch.connect.transport.urls import DEFAULT_BASE_URL, validate_partner_credential

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


#: A Stitch user opens this URL in a browser. The package itself sends no request to the URL.
AUTHORIZATION_URL = "https://app.stitchdata.com/oauth/authorization"


class StitchPartner(PartnerEndpoints):
    """A client that creates accounts and exchanges authorization codes.

    All other requests require the access token of an account.

    The partner credentials are sent only in request bodies, never in a header.

    :param base_url: an `https://` URL. Plain `http://` is allowed only for this machine's loopback address.
    :param request_timeout: maximum number of seconds to wait for the connection, for the response headers,
        and for each part of the body.
    :raises StitchConfigurationError: if a parameter is invalid.
    """

    def __init__(
        self,
        partner_id: str,
        partner_secret: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        request_timeout: float = 30.0,
    ) -> None:
        self._partner_id = validate_partner_credential("partner_id", partner_id)
        self._partner_secret = validate_partner_credential("partner_secret", partner_secret)
        self._transport = Transport(
            base_url,
            None,
            secrets=(self._partner_id, self._partner_secret),
            request_timeout=request_timeout,
        )
        self.base_url = self._transport.base_url

    def __repr__(self) -> str:
        return f"StitchPartner({self.base_url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def authorization_url(
        self,
        *,
        redirect_uri: str | None = None,
        email: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
        company: str | None = None,
    ) -> str:
        """Return the URL of the page on which a Stitch user authorizes this partner.

        The URL contains the partner ID.

        If the user agrees, Stitch redirects to `redirect_uri` with a `code` that can be used only once and
        expires after 5 minutes. If the user declines, Stitch redirects with `error=access_denied`.

        :param redirect_uri: a URI that is registered with Stitch. By default, Stitch uses the first
            registered URI.
        :param email: the user's e-mail address. The e-mail address and the remaining parameters prefill the
            sign-up form.

        Source: Stitch Connect API, "OAuth2".
        """
        parameters = {
            "client_id": self._partner_id,
            "redirect_uri": redirect_uri,
            "email": email,
            "first_name": first_name,
            "last_name": last_name,
            "company": company,
        }
        query = {name: value for name, value in parameters.items() if value is not None}
        return f"{AUTHORIZATION_URL}?{urlencode(query)}"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
