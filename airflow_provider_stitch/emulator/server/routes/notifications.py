"""Endpoints for custom e-mail addresses and post-load hooks."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_stitch.emulator.model.api_errors import ApiError, coded_error, not_found
from airflow_provider_stitch.emulator.model.times import parse_time
from airflow_provider_stitch.emulator.model.webhook_url import loopback_address
from airflow_provider_stitch.emulator.server.routes.endpoint import Call, Endpoint
from airflow_provider_stitch.emulator.server.routes.schemas import (
    BOOLEAN,
    INTEGER,
    NON_EMPTY_TEXT,
    NULL,
    TEXT,
    array,
    closed_object,
    nullable,
    one_of,
    ref,
)

_GROUP = "Notifications"
EMAILS = "/notifications/public/v1/api/custom-emails"
_HOOKS = "/notifications/public/v1/api/hooks"
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


# Custom e-mails


def create_custom_email(call: Call) -> Any:
    """Add a recipient of Stitch's e-mails. Stitch does not document keys other than ``email_address``."""
    invalid = ApiError(
        400, {"error": {"message": {"email_address": "Required. Must be valid email address format."}}}
    )
    account, body = call.account, call.json(invalid)
    address = body.get("email_address") if isinstance(body, dict) else None
    if not isinstance(address, str) or _EMAIL.fullmatch(address) is None:
        raise invalid
    allowed = account.pricing_plan.custom_emails
    added = account.notifications.add_custom_email(address, call.now, allowed=allowed)
    return added.body(with_modified_at=account.quirks.email_modified_at)


def list_custom_emails(call: Call) -> Any:
    """List all custom e-mail addresses, including disabled addresses."""
    shown = call.account.quirks.email_modified_at
    emails = call.account.notifications.custom_emails.values()
    return [email.body(with_modified_at=shown) for email in emails]


def update_custom_email(call: Call) -> Any:
    """Disable or enable a custom e-mail address.

    Error responses have the same format as successful responses.
    """
    email = call.account.notifications.custom_emails.get(_id(call, ApiError(404, {"status": "NOT FOUND"})))
    if email is None:
        raise ApiError(404, {"status": "NOT FOUND"})
    body = call.json(ApiError(400, {"disabled_at": None}))
    value = body.get("disabled_at") if isinstance(body, dict) else None
    invalid = ApiError(400, {"disabled_at": value})
    if not isinstance(body, dict) or "disabled_at" not in body or not isinstance(value, str | None):
        raise invalid
    try:
        email.disabled_at = None if value is None else parse_time(value)
    except ValueError as error:
        raise invalid from error
    email.modified_at = call.now
    return {"disabled_at": value}


def delete_custom_email(call: Call) -> Any:
    """Delete a custom e-mail address, and return the number of deleted addresses.

    Stitch does not document the response for an unknown id.
    """
    return [0 if call.account.notifications.custom_emails.pop(call.number("id"), None) is None else 1]


# Hooks


def create_hook(call: Call) -> Any:
    """Add a URL to which Stitch sends a request after each load into a destination."""
    account, invalid = call.account, coded_error("InvalidBody", "Invalid POST body")
    body = call.json(invalid)
    if not isinstance(body, dict) or set(body) != {"type", "destination_id", "config"}:
        raise invalid
    config, destination_id = body["config"], body["destination_id"]
    known = {destination.id for destination in account.active_destinations()}
    if isinstance(destination_id, bool) or not isinstance(destination_id, int) or destination_id not in known:
        raise invalid
    if body["type"] != "post_load" or not isinstance(config, dict) or set(config) != {"url"}:
        raise invalid
    try:
        loopback_address(config["url"])
    except (TypeError, ValueError, AttributeError) as error:
        raise invalid from error
    allowed = account.pricing_plan.hooks
    added = account.notifications.add_hook(destination_id, config["url"], call.now, allowed=allowed)
    return added.body(account.quirks, created=True)


def list_hooks(call: Call) -> Any:
    """List all hooks by type, including disabled hooks. The only hook type is ``post_load``."""
    hooks = call.account.notifications.hooks.values()
    return {"post_load": [hook.body(call.account.quirks) for hook in hooks]}


def update_hook(call: Call) -> Any:
    """Disable or enable a hook. For an unknown id, Stitch documents only the general 404 error."""
    hook = call.account.notifications.hooks.get(_id(call, not_found()))
    if hook is None:
        raise not_found()
    invalid = coded_error("InvalidBody", "PUT body must only contain boolean 'enable' key")
    body = call.json(invalid)
    if not isinstance(body, dict) or set(body) != {"enable"} or not isinstance(body["enable"], bool):
        raise invalid
    hook.disabled_at = None if body["enable"] else call.now
    hook.modified_at = call.now
    return hook.body(call.account.quirks)


def delete_hook(call: Call) -> Any:
    """Delete a hook. The body of a successful response is null."""
    if call.account.notifications.hooks.pop(call.number("id"), None) is None:
        raise ApiError(400, {"error": "NotFound"})


def _id(call: Call, unknown: ApiError) -> int:
    """Return the id from the path.

    :param unknown: the error to raise if the id is not a number.
    """
    try:
        return call.number("id")
    except ApiError as error:
        raise unknown from error


ENDPOINTS = (
    Endpoint(
        "POST",
        EMAILS,
        create_custom_email,
        _GROUP,
        "Add a custom e-mail address",
        ref("CustomEmail"),
        body={**closed_object({"email_address": NON_EMPTY_TEXT}), "additionalProperties": True},
        errors={400: ref("MessageError")},
    ),
    Endpoint("GET", EMAILS, list_custom_emails, _GROUP, "Custom e-mail addresses", array(ref("CustomEmail"))),
    Endpoint(
        "PUT",
        f"{EMAILS}/{{id}}",
        update_custom_email,
        _GROUP,
        "Disable or enable a custom e-mail address",
        closed_object({"disabled_at": nullable(TEXT)}),
        body={**closed_object({"disabled_at": nullable(TEXT)}), "additionalProperties": True},
        errors={400: closed_object({"disabled_at": {}}), 404: ref("NotFoundStatus")},
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
        body=closed_object(
            {
                "type": {"const": "post_load"},
                "destination_id": INTEGER,
                "config": closed_object({"url": NON_EMPTY_TEXT}),
            }
        ),
        errors={400: one_of(ref("CodedError"), ref("MessageError"))},
    ),
    Endpoint("GET", _HOOKS, list_hooks, _GROUP, "Hooks", closed_object({"post_load": array(ref("Hook"))})),
    Endpoint(
        "PUT",
        f"{_HOOKS}/{{id}}",
        update_hook,
        _GROUP,
        "Disable or enable a hook",
        ref("Hook"),
        body=closed_object({"enable": BOOLEAN}),
        errors={400: ref("CodedError")},
    ),
    Endpoint(
        "DELETE",
        f"{_HOOKS}/{{id}}",
        delete_hook,
        _GROUP,
        "Delete a hook",
        NULL,
        errors={400: ref("HookNotFound")},
    ),
)
