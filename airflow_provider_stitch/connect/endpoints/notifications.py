"""Custom e-mails and post-load hooks. Source: Stitch Connect API, "Notifications"."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow_provider_stitch.connect._arguments import checked_email, checked_hook_url, checked_id
from airflow_provider_stitch.connect._json import items, record
from airflow_provider_stitch.connect._refusals import About
from airflow_provider_stitch.connect.endpoints._base import Endpoint, EndpointGroup, nothing_due
from airflow_provider_stitch.connect.errors import StitchNotFound
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


class NotificationEndpoints(EndpointGroup):
    """Custom e-mails and post-load hooks."""

    # Custom e-mails: further recipients of what Stitch writes about the account.

    def list_custom_emails(self) -> list[CustomEmail]:
        """Return the recipients, disabled ones too. Source: "List custom notification emails"."""
        return self._list(LIST_CUSTOM_EMAILS, CustomEmail.from_json)

    def create_custom_email(self, email_address: str) -> CustomEmail:
        """Add a recipient.

        :raises LimitReached: there are 10 already.
        :raises NotInPlan: the account's plan does not include custom e-mails.
        :raises StitchBadRequest: Stitch does not take it for an address.

        Source: Stitch Connect API, "Create a custom notification email".
        """
        json = {"email_address": checked_email("email_address", email_address)}
        return self._create(CREATE_CUSTOM_EMAIL, CustomEmail.from_json, json=json)

    def disable_custom_email(self, email_id: int) -> None:
        """Send a recipient nothing more, at once.

        :raises StitchNotFound: the account has no such recipient.

        Source: Stitch Connect API, "Disable a custom notification email".
        """
        now = self._transport.stitch_time or datetime.now(timezone.utc)
        self._set_disabled_at(email_id, format_time(now))

    def enable_custom_email(self, email_id: int) -> None:
        """Send a disabled recipient e-mails again.

        :raises StitchNotFound: the account has no such recipient.

        Source: Stitch Connect API, "Enable a custom notification email".
        """
        self._set_disabled_at(email_id, None)

    def delete_custom_email(self, email_id: int) -> None:
        """Delete a recipient.

        :raises StitchNotFound: the account has no such recipient.

        Source: Stitch Connect API, "Delete a custom notification email" (it answers how many it deleted).
        """
        about = _about_email(email_id)
        answer = self._delete(DELETE_CUSTOM_EMAIL, about)
        if answer.body == [0]:
            raise StitchNotFound(f"{answer.asked}: there is no {about.what}. {about.hint}")

    # Post-load hooks: webhooks that Stitch calls after it has loaded rows of a table.

    def list_post_load_hooks(self) -> list[PostLoadHook]:
        """Return the post-load hooks, disabled ones too. Source: Stitch Connect API, "List hooks"."""
        return self._get(
            LIST_POST_LOAD_HOOKS,
            lambda body: [
                PostLoadHook.from_json(each) for each in items(record(body, "list of hooks"), "post_load")
            ],
        )

    def create_post_load_hook(self, url: str, destination_id: int) -> PostLoadHook:
        """Add a webhook for the loads of a destination.

        :param url: an https:// address. It is kept out of messages, for only it can hold a secret of yours.
        :raises LimitReached: there are 10 already.
        :raises NotInPlan: the account's plan does not include hooks.
        :raises StitchBadRequest: Stitch does not take it.

        Source: Stitch Connect API, "Create a hook".
        """
        json = {
            "type": "post_load",
            "destination_id": checked_id("destination", destination_id),
            "config": {"url": checked_hook_url(url)},
        }
        return self._create(CREATE_POST_LOAD_HOOK, PostLoadHook.from_json, json=json, secrets=(url,))

    def disable_post_load_hook(self, hook_id: int) -> PostLoadHook:
        """Call a webhook no more.

        :raises StitchNotFound: the account has no such hook.

        Source: Stitch Connect API, "Update a hook".
        """
        return self._set_enabled(hook_id, enable=False)

    def enable_post_load_hook(self, hook_id: int) -> PostLoadHook:
        """Call a disabled webhook again.

        :raises StitchNotFound: the account has no such hook.

        Source: Stitch Connect API, "Update a hook".
        """
        return self._set_enabled(hook_id, enable=True)

    def delete_post_load_hook(self, hook_id: int) -> None:
        """Delete a webhook.

        :raises StitchNotFound: the account has no such hook.

        Source: Stitch Connect API, "Delete a hook".
        """
        self._delete(DELETE_POST_LOAD_HOOK, _about_hook(hook_id))

    def _set_disabled_at(self, email_id: int, disabled_at: str | None) -> None:
        # A refusal has the same form as a success; the status code alone tells them apart.
        self._update(
            UPDATE_CUSTOM_EMAIL,
            nothing_due,
            _about_email(email_id),
            json={"disabled_at": disabled_at},
        )

    def _set_enabled(self, hook_id: int, *, enable: bool) -> PostLoadHook:
        return self._update(
            UPDATE_POST_LOAD_HOOK,
            PostLoadHook.from_json,
            _about_hook(hook_id),
            json={"enable": enable},
        )


def _about_email(email_id: int) -> About:
    checked = checked_id("custom e-mail", email_id)
    return About(f"custom e-mail {checked}", ids={"email_id": checked})


def _about_hook(hook_id: int) -> About:
    checked = checked_id("hook", hook_id)
    return About(f"post-load hook {checked}", ids={"hook_id": checked})
