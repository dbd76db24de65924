"""Endpoints for custom e-mails and post-load hooks. Source: Stitch Connect API, "Notifications"."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow_provider_stitch.connect.endpoints._base import AccountEndpoints, Endpoint, ignore_body
from airflow_provider_stitch.connect.endpoints.api_errors import ErrorContext
from airflow_provider_stitch.connect.endpoints.validation import (
    validate_email,
    validate_hook_url,
    validate_id,
)
from airflow_provider_stitch.connect.errors import StitchNotFound
from airflow_provider_stitch.connect.objects.json import array, json_object
from airflow_provider_stitch.connect.objects.notifications import CustomEmail, PostLoadHook
from airflow_provider_stitch.connect.objects.times import format_time

_API = "/notifications/public/v1/api"

CREATE_CUSTOM_EMAIL = Endpoint("POST", f"{_API}/custom-emails")
LIST_CUSTOM_EMAILS = Endpoint("GET", f"{_API}/custom-emails")
UPDATE_CUSTOM_EMAIL = Endpoint("PUT", f"{_API}/custom-emails/{{email_id}}")
DELETE_CUSTOM_EMAIL = Endpoint("DELETE", f"{_API}/custom-emails/{{email_id}}")
CREATE_POST_LOAD_HOOK = Endpoint("POST", f"{_API}/hooks")
LIST_POST_LOAD_HOOKS = Endpoint("GET", f"{_API}/hooks")
UPDATE_POST_LOAD_HOOK = Endpoint("PUT", f"{_API}/hooks/{{hook_id}}")
DELETE_POST_LOAD_HOOK = Endpoint("DELETE", f"{_API}/hooks/{{hook_id}}")


class NotificationEndpoints(AccountEndpoints):
    """Endpoints for custom e-mails and post-load hooks."""

    # Custom e-mails are additional recipients of the account's notifications.

    def list_custom_emails(self) -> list[CustomEmail]:
        """Return all additional recipients of notifications, including disabled recipients.

        Source: Stitch Connect API, "List custom notification emails".
        """
        return self._list(LIST_CUSTOM_EMAILS, CustomEmail.from_json)

    def create_custom_email(self, email_address: str) -> CustomEmail:
        """Add a recipient of the account's notifications.

        :raises LimitReached: if the account already has 10 recipients.
        :raises NotInPlan: if the account's plan does not include custom e-mails.
        :raises StitchBadRequest: if Stitch rejects the address.

        Source: Stitch Connect API, "Create a custom notification email".
        """
        json = {"email_address": validate_email("email_address", email_address)}
        return self._create(CREATE_CUSTOM_EMAIL, CustomEmail.from_json, json=json)

    def disable_custom_email(self, email_id: int) -> None:
        """Stop sending e-mails to a recipient.

        :raises StitchNotFound: if the account has no recipient with this id.

        Source: Stitch Connect API, "Disable a custom notification email".
        """
        now = self._transport.stitch_time or datetime.now(timezone.utc)
        self._set_disabled_at(email_id, format_time(now))

    def enable_custom_email(self, email_id: int) -> None:
        """Resume sending e-mails to a recipient.

        :raises StitchNotFound: if the account has no recipient with this id.

        Source: Stitch Connect API, "Enable a custom notification email".
        """
        self._set_disabled_at(email_id, None)

    def delete_custom_email(self, email_id: int) -> None:
        """Delete a recipient.

        :raises StitchNotFound: if the account has no recipient with this id.

        Source: Stitch Connect API, "Delete a custom notification email". The response contains the number of
        deleted recipients.
        """
        context = _email_context(email_id)
        response = self._delete(DELETE_CUSTOM_EMAIL, context)
        if response.body == [0]:
            raise StitchNotFound(f"{response.request_line}: there is no {context.subject}. {context.hint}")

    # Post-load hooks are webhooks that Stitch calls after it loads rows of a table.

    def list_post_load_hooks(self) -> list[PostLoadHook]:
        """Return all post-load hooks, including disabled hooks.

        Source: Stitch Connect API, "List hooks".
        """
        return self._get(
            LIST_POST_LOAD_HOOKS,
            lambda body: [
                PostLoadHook.from_json(each)
                for each in array(json_object(body, "list of hooks"), "post_load")
            ],
        )

    def create_post_load_hook(self, url: str, destination: int | str) -> PostLoadHook:
        """Create a webhook that Stitch calls after it loads rows into a destination.

        :param url: an `https://` URL. The URL never appears in messages, because it may contain a secret.
        :raises LimitReached: if the account already has 10 hooks.
        :raises NotInPlan: if the account's plan does not include hooks.
        :raises StitchBadRequest: if Stitch rejects the hook.

        Source: Stitch Connect API, "Create a hook".
        """
        json = {
            "type": "post_load",
            "destination_id": self._destination_id(destination),
            "config": {"url": validate_hook_url(url)},
        }
        return self._create(CREATE_POST_LOAD_HOOK, PostLoadHook.from_json, json=json, secrets=(url,))

    def disable_post_load_hook(self, hook_id: int) -> PostLoadHook:
        """Disable a webhook.

        :raises StitchNotFound: if the account has no hook with this id.

        Source: Stitch Connect API, "Update a hook".
        """
        return self._set_enabled(hook_id, enable=False)

    def enable_post_load_hook(self, hook_id: int) -> PostLoadHook:
        """Enable a disabled webhook.

        :raises StitchNotFound: if the account has no hook with this id.

        Source: Stitch Connect API, "Update a hook".
        """
        return self._set_enabled(hook_id, enable=True)

    def delete_post_load_hook(self, hook_id: int) -> None:
        """Delete a webhook.

        :raises StitchNotFound: if the account has no hook with this id.

        Source: Stitch Connect API, "Delete a hook".
        """
        self._delete(DELETE_POST_LOAD_HOOK, _hook_context(hook_id))

    def _set_disabled_at(self, email_id: int, disabled_at: str | None) -> None:
        # The body is the same for errors and successes, so only the status code is checked.
        self._update(
            UPDATE_CUSTOM_EMAIL,
            ignore_body,
            _email_context(email_id),
            json={"disabled_at": disabled_at},
        )

    def _set_enabled(self, hook_id: int, *, enable: bool) -> PostLoadHook:
        return self._update(
            UPDATE_POST_LOAD_HOOK,
            PostLoadHook.from_json,
            _hook_context(hook_id),
            json={"enable": enable},
        )


def _email_context(email_id: int) -> ErrorContext:
    checked = validate_id("custom e-mail", email_id)
    return ErrorContext(f"custom e-mail {checked}", ids={"email_id": checked})


def _hook_context(hook_id: int) -> ErrorContext:
    checked = validate_id("hook", hook_id)
    return ErrorContext(f"post-load hook {checked}", ids={"hook_id": checked})
