"""Accounts, browser sessions and OAuth. Source: Stitch Connect API, "Accounts", "Sessions", "OAuth2"."""

from __future__ import annotations

from airflow_provider_stitch.connect._arguments import checked_email, checked_region, checked_text
from airflow_provider_stitch.connect._refusals import About
from airflow_provider_stitch.connect.endpoints._base import Endpoint, EndpointGroup
from airflow_provider_stitch.connect.errors import StitchUnavailable, UnexpectedAnswer
from airflow_provider_stitch.connect.objects.accounts import AccountAccess, EphemeralToken

CREATE_ACCOUNT = Endpoint("POST", "/v3/accounts", confidential=True)
CREATE_EPHEMERAL_TOKEN = Endpoint("POST", "/v3/sessions/ephemeral", confidential=True)
EXCHANGE_CODE = Endpoint("POST", "/oauth/token", confidential=True)

# These requests carry no access token, so a refusal is never about one.
_NO_TOKEN = (400, 401, 403, 404)
_PARTNER = About(
    "such endpoint",
    hint="Check the base URL (the connection's host).",
    unauthorized="Stitch refuses the partner credentials, or the code. Check partner_id and partner_secret.",
)

_MAYBE_CREATED = (
    "The account may have been created all the same; then its address is in use, and only its user can give "
    "access to it: by an authorization, or an API access key."
)


class PartnerEndpoints(EndpointGroup):
    """What takes partner credentials instead of an access token. They travel in the body alone."""

    _partner_id: str
    _partner_secret: str

    def create_account(
        self, *, company: str, email: str, first_name: str, last_name: str, region: str
    ) -> AccountAccess:
        """Create a Stitch account. Never repeated: a lost answer may be that of an account that was created.

        :param region: where its data is processed, for good: `us-east-1` or `eu-central-1`.
        :raises EmailInUse: a Stitch user has that address already.
        :raises StitchUnauthorized: Stitch refuses the partner credentials.
        :raises StitchUnavailable: with `maybe_received` true the account may have been created all the same;
            its token can't be had any more.
        :raises UnexpectedAnswer: so it may here.

        Source: Stitch Connect API, "Create an account".
        """
        json = {
            "partner_id": self._partner_id,
            "partner_secret": self._partner_secret,
            "company": checked_text("company", company),
            "email": checked_email("email", email),
            "first_name": checked_text("first_name", first_name),
            "last_name": checked_text("last_name", last_name),
            "region": checked_region(region),
        }
        try:
            return self._create(
                CREATE_ACCOUNT, AccountAccess.from_json, _PARTNER, json=json, accept=_NO_TOKEN
            )
        except (StitchUnavailable, UnexpectedAnswer) as error:
            if getattr(error, "maybe_received", True):
                error.args = (f"{error} {_MAYBE_CREATED}",)
            raise

    def exchange_code(self, code: str) -> AccountAccess:
        """Exchange the code of an authorization, which works once and for 5 minutes, for an access token.

        :raises StitchBadRequest: Stitch refuses the code or the partner secret; what it says then is not
            documented.

        Source: Stitch Connect API, "OAuth2" (that the partner secret is the `client_secret` is inferred).
        """
        form = {
            "client_secret": self._partner_secret,
            "code": checked_text("code", code),
            "grant_type": "authorization_code",
        }
        return self._create(
            EXCHANGE_CODE, AccountAccess.from_json, _PARTNER, form=form, secrets=(code,), accept=_NO_TOKEN
        )


class SessionEndpoints(EndpointGroup):
    """Browser sessions in Stitch's application."""

    def create_ephemeral_token(self) -> EphemeralToken:
        """Return a token that opens one browser session, within an hour. Stitch has deprecated its use.

        Source: Stitch Connect API, "Create a session".
        """
        answer = self._ask(CREATE_EPHEMERAL_TOKEN)
        return self._read(
            CREATE_EPHEMERAL_TOKEN,
            answer,
            lambda body: EphemeralToken.from_json(body, answered_at=answer.answered_at),
        )
