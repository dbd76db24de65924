"""The client for Stitch partners, which creates accounts and obtains access to existing ones."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_provider_stitch.connect.endpoints.accounts import PartnerEndpoints
from airflow_provider_stitch.connect.transport.request import Transport
from airflow_provider_stitch.connect.transport.urls import DEFAULT_BASE_URL, validate_partner_credential

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


#: A Stitch user opens it in a browser; this package sends no request to it.
AUTHORIZATION_URL = "https://app.stitchdata.com/oauth/authorization"


class StitchPartner(PartnerEndpoints):
    """Creates accounts and exchanges authorization codes. Everything else needs an account's own token.

    The credentials are sent only in the bodies of these two requests, never in a header.

    :param base_url: HTTPS, or plain HTTP on this machine's loopback.
    :param request_timeout: seconds to wait for a connection, and for each next part of a response.
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
        """Return the URL of the page where a Stitch user authorizes this partner. It contains the partner ID.

        Stitch then redirects to `redirect_uri` with a `code`, which is valid once and for 5 minutes, or with
        `error=access_denied`.

        :param redirect_uri: must be registered with Stitch; by default the first registered one.
        :param email: prefills the sign-up form, as do the remaining parameters.

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
