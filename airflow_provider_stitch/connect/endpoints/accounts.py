"""Endpoints for accounts, browser sessions and OAuth.

Source: Stitch Connect API, "Accounts", "Sessions", "OAuth2".
"""

from __future__ import annotations

from airflow_provider_stitch.connect.endpoints._base import Endpoint, EndpointGroup
from airflow_provider_stitch.connect.endpoints.api_errors import ErrorContext
from airflow_provider_stitch.connect.endpoints.validation import (
    validate_email,
    validate_region,
    validate_string,
)
from airflow_provider_stitch.connect.errors import StitchUnavailable, UnexpectedResponse
from airflow_provider_stitch.connect.objects.accounts import AccountAccess, EphemeralToken

CREATE_ACCOUNT = Endpoint("POST", "/v3/accounts", confidential=True)
CREATE_EPHEMERAL_TOKEN = Endpoint("POST", "/v3/sessions/ephemeral", confidential=True)
EXCHANGE_CODE = Endpoint("POST", "/oauth/token", confidential=True)

# Error status codes that have a different meaning here, because requests in this module contain no access
# token.
_CREDENTIAL_ERRORS = (400, 401, 403, 404)
_PARTNER = ErrorContext(
    "such endpoint",
    hint="Check the base URL (the connection's host).",
    unauthorized="Stitch rejected the partner credentials or the code. Check partner_id and partner_secret.",
)

_MAYBE_CREATED = (
    "The account may have been created anyway. Its e-mail address is then in use, and only its user can give "
    "access to it, by an authorization or an API access key."
)


class PartnerEndpoints(EndpointGroup):
    """Endpoints that require partner credentials in the request body instead of an access token."""

    _partner_id: str
    _partner_secret: str

    def create_account(
        self, *, company: str, email: str, first_name: str, last_name: str, region: str
    ) -> AccountAccess:
        """Create a Stitch account.

        The request is never retried, because Stitch may have created the account even if the response was
        lost.

        :param region: the region that processes the account's data, `us-east-1` or `eu-central-1`. The region
            cannot be changed later.
        :raises EmailInUse: if a Stitch user with this e-mail address already exists.
        :raises StitchUnauthorized: if Stitch rejects the partner credentials.
        :raises StitchUnavailable: if Stitch is unavailable. If `maybe_received` is True, Stitch may have
            created the account. The access token of an account whose creation response was lost cannot be
            retrieved.
        :raises UnexpectedResponse: if the response is invalid. Despite an UnexpectedResponse, Stitch may have
            created the account.

        Source: Stitch Connect API, "Create an account".
        """
        json = {
            "partner_id": self._partner_id,
            "partner_secret": self._partner_secret,
            "company": validate_string("company", company),
            "email": validate_email("email", email),
            "first_name": validate_string("first_name", first_name),
            "last_name": validate_string("last_name", last_name),
            "region": validate_region(region),
        }
        try:
            return self._create(
                CREATE_ACCOUNT, AccountAccess.from_json, _PARTNER, json=json, accept=_CREDENTIAL_ERRORS
            )
        except (StitchUnavailable, UnexpectedResponse) as error:
            if getattr(error, "maybe_received", True):
                error.args = (f"{error} {_MAYBE_CREATED}",)
            raise

    def exchange_code(self, code: str) -> AccountAccess:
        """Exchange an authorization code for an access token.

        An authorization code can be used only once, and it expires after 5 minutes.

        :raises StitchBadRequest: if Stitch rejects the code or the partner secret. Stitch does not document
            the response in this case.

        Source: Stitch Connect API, "OAuth2". Stitch's documentation does not define `client_secret`, which is
        assumed to be the partner secret.
        """
        form = {
            "client_secret": self._partner_secret,
            "code": validate_string("code", code),
            "grant_type": "authorization_code",
        }
        return self._create(
            EXCHANGE_CODE,
            AccountAccess.from_json,
            _PARTNER,
            form=form,
            secrets=(code,),
            accept=_CREDENTIAL_ERRORS,
        )


class SessionEndpoints(EndpointGroup):
    """Endpoint for browser sessions in the Stitch app."""

    def create_ephemeral_token(self) -> EphemeralToken:
        """Return a token that opens one browser session and expires after an hour.

        Stitch has deprecated this endpoint.

        Source: Stitch Connect API, "Create a session".
        """
        response = self._request(CREATE_EPHEMERAL_TOKEN)
        return self._parse(
            CREATE_EPHEMERAL_TOKEN,
            response,
            lambda body: EphemeralToken.from_json(body, responded_at=response.responded_at),
        )
