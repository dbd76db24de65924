"""Sample calls to the endpoints for notifications."""

from __future__ import annotations

from . import endpoint_samples as more

NOTIFICATIONS = "/notifications/public/v1/api"

# Each row contains a name, a call, the expected request, the expected JSON, the response body, and a check
# of the result.
NOTIFICATION_CALLS = [
    (
        "list_custom_emails",
        lambda c: c.list_custom_emails(),
        f"GET {NOTIFICATIONS}/custom-emails",
        None,
        [more.CUSTOM_EMAIL],
        lambda emails: emails[0].email_address == "alerts@acme.example",
    ),
    (
        "create_custom_email",
        lambda c: c.create_custom_email("alerts@acme.example"),
        f"POST {NOTIFICATIONS}/custom-emails",
        {"email_address": "alerts@acme.example"},
        more.CUSTOM_EMAIL,
        lambda email: email.id == 22,
    ),
    (
        "update_custom_email",
        lambda c: c.disable_custom_email(22),
        f"PUT {NOTIFICATIONS}/custom-emails/22",
        lambda sent: set(sent) == {"disabled_at"} and sent["disabled_at"].endswith("Z"),
        {"disabled_at": "2026-08-17T00:00:00Z"},
        lambda nothing: nothing is None,
    ),
    (
        "update_custom_email",
        lambda c: c.enable_custom_email(22),
        f"PUT {NOTIFICATIONS}/custom-emails/22",
        {"disabled_at": None},
        {"disabled_at": None},
        lambda nothing: nothing is None,
    ),
    (
        "delete_custom_email",
        lambda c: c.delete_custom_email(22),
        f"DELETE {NOTIFICATIONS}/custom-emails/22",
        None,
        [1],
        lambda nothing: nothing is None,
    ),
    (
        "list_post_load_hooks",
        lambda c: c.list_post_load_hooks(),
        f"GET {NOTIFICATIONS}/hooks",
        None,
        {
            "post_load": [
                more.LISTED_HOOK,
                {**more.LISTED_HOOK, "config": {"destination_id": "destination_9"}},
            ]
        },
        lambda hooks: [(each.id, each.destination_id) for each in hooks] == [(8, None), (8, 9)],
    ),
    (
        "create_post_load_hook",
        lambda c: c.create_post_load_hook("https://hooks.acme.example/stitch", 155901),
        f"POST {NOTIFICATIONS}/hooks",
        {
            "type": "post_load",
            "destination_id": 155901,
            "config": {"url": "https://hooks.acme.example/stitch"},
        },
        more.HOOK,
        lambda hook: (hook.destination_id, hook.url) == (155901, "https://hooks.acme.example/stitch"),
    ),
    (
        "update_post_load_hook",
        lambda c: c.disable_post_load_hook(8),
        f"PUT {NOTIFICATIONS}/hooks/8",
        {"enable": False},
        {**more.LISTED_HOOK, "disabled_at": "2026-08-17T00:00:00Z"},
        lambda hook: hook.disabled_at is not None,
    ),
    (
        "update_post_load_hook",
        lambda c: c.enable_post_load_hook(8),
        f"PUT {NOTIFICATIONS}/hooks/8",
        {"enable": True},
        more.LISTED_HOOK,
        lambda hook: hook.disabled_at is None,
    ),
    (
        "delete_post_load_hook",
        lambda c: c.delete_post_load_hook(8),
        f"DELETE {NOTIFICATIONS}/hooks/8",
        None,
        b"null",
        lambda nothing: nothing is None,
    ),
]
