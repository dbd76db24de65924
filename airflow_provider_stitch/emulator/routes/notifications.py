"""Custom e-mail addresses, and post-load hooks."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_stitch.emulator.clock import parse_iso
from airflow_provider_stitch.emulator.loopback import hook_address
from airflow_provider_stitch.emulator.refusal import Refusal, coded, not_found
from airflow_provider_stitch.emulator.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.routes.schemas import (
    BOOLEAN,
    FULL_TEXT,
    INTEGER,
    NULL,
    TEXT,
    array,
    nullable,
    one_of,
    record,
    ref,
)

_GROUP = "Notifications"
EMAILS = "/notifications/public/v1/api/custom-emails"
_HOOKS = "/notifications/public/v1/api/hooks"
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


# Custom e-mails


def create_custom_email(call: Call) -> Any:
    """A further recipient of Stitch's e-mails. What else may be in the body is not documented."""
    invalid = Refusal(
        400, {"error": {"message": {"email_address": "Required. Must be valid email address format."}}}
    )
    account, body = call.account, call.json(invalid)
    address = body.get("email_address") if isinstance(body, dict) else None
    if not isinstance(address, str) or _EMAIL.fullmatch(address) is None:
        raise invalid
    allowed = account.allowed.custom_emails
    added = account.notifications.add_custom_email(address, call.now, allowed=allowed)
    return added.body(with_modified_at=account.quirks.email_modified_at)


def list_custom_emails(call: Call) -> Any:
    """All of them, disabled ones too."""
    shown = call.account.quirks.email_modified_at
    emails = call.account.notifications.custom_emails.values()
    return [email.body(with_modified_at=shown) for email in emails]


def update_custom_email(call: Call) -> Any:
    """Disable or enable. A refusal looks like a success, but for its code."""
    email = call.account.notifications.custom_emails.get(_id(call, Refusal(404, {"status": "NOT FOUND"})))
    if email is None:
        raise Refusal(404, {"status": "NOT FOUND"})
    body = call.json(Refusal(400, {"disabled_at": None}))
    value = body.get("disabled_at") if isinstance(body, dict) else None
    invalid = Refusal(400, {"disabled_at": value})
    if not isinstance(body, dict) or "disabled_at" not in body or not isinstance(value, str | None):
        raise invalid
    try:
        email.disabled_at = None if value is None else parse_iso(value)
    except ValueError as error:
        raise invalid from error
    email.modified_at = call.now
    return {"disabled_at": value}


def delete_custom_email(call: Call) -> Any:
    """How many were deleted. For an unknown id nothing is documented; here none was."""
    return [0 if call.account.notifications.custom_emails.pop(call.number("id"), None) is None else 1]


# Hooks


def create_hook(call: Call) -> Any:
    """A URL that is told of each load into a destination."""
    account, invalid = call.account, coded("InvalidBody", "Invalid POST body")
    body = call.json(invalid)
    if not isinstance(body, dict) or set(body) != {"type", "destination_id", "config"}:
        raise invalid
    config, destination_id = body["config"], body["destination_id"]
    known = {destination.id for destination in account.live_destinations()}
    if isinstance(destination_id, bool) or not isinstance(destination_id, int) or destination_id not in known:
        raise invalid
    if body["type"] != "post_load" or not isinstance(config, dict) or set(config) != {"url"}:
        raise invalid
    try:
        hook_address(config["url"])
    except (TypeError, ValueError, AttributeError) as error:
        raise invalid from error
    allowed = account.allowed.hooks
    added = account.notifications.add_hook(destination_id, config["url"], call.now, allowed=allowed)
    return added.body(account.quirks, created=True)


def list_hooks(call: Call) -> Any:
    """All of them, disabled ones too, by type. There is one type."""
    hooks = call.account.notifications.hooks.values()
    return {"post_load": [hook.body(call.account.quirks) for hook in hooks]}


def update_hook(call: Call) -> Any:
    """Disable or enable. What an unknown id answers is not documented beyond the general 404."""
    hook = call.account.notifications.hooks.get(_id(call, not_found()))
    if hook is None:
        raise not_found()
    invalid = coded("InvalidBody", "PUT body must only contain boolean 'enable' key")
    body = call.json(invalid)
    if not isinstance(body, dict) or set(body) != {"enable"} or not isinstance(body["enable"], bool):
        raise invalid
    hook.disabled_at = None if body["enable"] else call.now
    hook.modified_at = call.now
    return hook.body(call.account.quirks)


def delete_hook(call: Call) -> Any:
    """The answer to a success is null."""
    if call.account.notifications.hooks.pop(call.number("id"), None) is None:
        raise Refusal(400, {"error": "NotFound"})


def _id(call: Call, otherwise: Refusal) -> int:
    try:
        return call.number("id")
    except Refusal as refusal:
        raise otherwise from refusal


ENDPOINTS = (
    Endpoint(
        "POST",
        EMAILS,
        create_custom_email,
        _GROUP,
        "Add a custom e-mail address",
        ref("CustomEmail"),
        body={**record({"email_address": FULL_TEXT}), "additionalProperties": True},
        refusals={400: ref("MessageError")},
    ),
    Endpoint("GET", EMAILS, list_custom_emails, _GROUP, "Custom e-mail addresses", array(ref("CustomEmail"))),
    Endpoint(
        "PUT",
        f"{EMAILS}/{{id}}",
        update_custom_email,
        _GROUP,
        "Disable or enable a custom e-mail address",
        record({"disabled_at": nullable(TEXT)}),
        body={**record({"disabled_at": nullable(TEXT)}), "additionalProperties": True},
        refusals={400: record({"disabled_at": {}}), 404: ref("NotFoundStatus")},
    ),
    Endpoint(
        "DELETE",
        f"{EMAILS}/{{id}}",
        delete_custom_email,
        _GROUP,
        "Delete a custom e-mail address",
        array({"enum": [0, 1]}, minItems=1, maxItems=1),
    ),
    Endpoint(
        "POST",
        _HOOKS,
        create_hook,
        _GROUP,
        "Add a post-load hook",
        ref("Hook"),
        body=record(
            {"type": {"const": "post_load"}, "destination_id": INTEGER, "config": record({"url": FULL_TEXT})}
        ),
        refusals={400: one_of(ref("CodedError"), ref("MessageError"))},
    ),
    Endpoint("GET", _HOOKS, list_hooks, _GROUP, "Hooks", record({"post_load": array(ref("Hook"))})),
    Endpoint(
        "PUT",
        f"{_HOOKS}/{{id}}",
        update_hook,
        _GROUP,
        "Disable or enable a hook",
        ref("Hook"),
        body=record({"enable": BOOLEAN}),
        refusals={400: ref("CodedError")},
    ),
    Endpoint(
        "DELETE",
        f"{_HOOKS}/{{id}}",
        delete_hook,
        _GROUP,
        "Delete a hook",
        NULL,
        refusals={400: ref("HookNotFound")},
    ),
)
