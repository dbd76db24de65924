"""A partner of Stitch, who creates accounts for others and is given access to them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_provider_stitch.connect._addresses import checked_partner_credential
from airflow_provider_stitch.connect.client import DEFAULT_BASE_URL
from airflow_provider_stitch.connect.endpoints.accounts import PartnerEndpoints
from airflow_provider_stitch.connect.transport import Transport

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


#: Opened in a browser by a Stitch user, not requested by this package.
AUTHORIZATION_URL = "https://app.stitchdata.com/oauth/authorization"


class StitchPartner(PartnerEndpoints):
    """Creates accounts and exchanges codes, and can do nothing else: all else needs an account's own token.

    The credentials travel in the body of these two requests alone, never in a header.

    :param base_url: HTTPS, or plain HTTP on this machine's loopback.
    :param request_timeout: seconds to wait for a connection, and for each next part of an answer.
    :raises StitchConfigurationError: any of these cannot be used.
    """

    def __init__(
        self,
        partner_id: str,
        partner_secret: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        request_timeout: float = 30.0,
    ) -> None:
        self._partner_id = checked_partner_credential("partner_id", partner_id)
        self._partner_secret = checked_partner_credential("partner_secret", partner_secret)
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
        """Return the address at which a Stitch user authorizes this partner. It contains the partner ID.

        Stitch then calls `redirect_uri` with a `code`, which works once, for 5 minutes, or with
        `error=access_denied`.

        :param redirect_uri: must be registered with Stitch; None uses the first registered one.
        :param email: prefills the form with which a new user signs up, as the others do.

        Source: Stitch Connect API, "OAuth2".
        """
        given = {
            "client_id": self._partner_id,
            "redirect_uri": redirect_uri,
            "email": email,
            "first_name": first_name,
            "last_name": last_name,
            "company": company,
        }
        query = {name: value for name, value in given.items() if value is not None}
        return f"{AUTHORIZATION_URL}?{urlencode(query)}"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
