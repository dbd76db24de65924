"""A partner of Stitch, who creates accounts for others and is given access to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_stitch.connect._addresses import checked_partner_credential
from airflow_provider_stitch.connect.client import DEFAULT_BASE_URL
from airflow_provider_stitch.connect.endpoints.accounts import PartnerEndpoints
from airflow_provider_stitch.connect.transport import Transport

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


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

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
