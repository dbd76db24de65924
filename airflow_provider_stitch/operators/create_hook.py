"""The operator that creates a post-load hook for a destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.operators._secrets import reject_group_argument, render_secrets
from airflow_provider_stitch.operators._setup import StitchSetupOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Destination, PostLoadHook


class StitchCreateHookOperator(StitchSetupOperator):
    """Create a post-load hook for a destination, unless the destination already has a hook with this URL.

    After Stitch has loaded rows of a table, it sends a request to the URL. The request has no custom headers,
    so only the URL can contain a secret. Because the URL can contain a secret, Airflow neither shows nor
    stores the URL.

    If two tasks create the same hook at the same time, one task deletes its hook. If the hook exists but is
    disabled, the task logs a warning and does not enable the hook.

    The XCom is a dict: `hook_id`, `destination_id`, `client_id`, `created` (bool) and `enabled` (bool).

    :param url: an https:// address, such as `"{{ conn.stitch_webhook.password }}"`. The template is
        rendered when the task runs.
    :param destination: id or name of the destination. If None, the account must have exactly one destination.
        (templated)
    :param timeout: how long to keep retrying while Stitch is unavailable, in seconds or as a timedelta.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("destination", "stitch_conn_id")
    secret_arguments: Sequence[str] = ("url",)

    def __init__(self, *, url: str, destination: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url = reject_group_argument("url", url)
        self.destination = destination

    def set_up(self, context: Context) -> dict[str, Any]:
        """Create the hook if it does not exist."""
        url = render_secrets(self, {"url": self.url}, context)["url"]
        destination = self._find_destination()
        hook = self._find_hook(url, destination)
        created = False
        if hook is None:
            hook, created = self._create(url, destination)
        self._report(hook, destination, created=created)
        return {
            "hook_id": hook.id,
            "destination_id": destination.id,
            "client_id": hook.client_id,
            "created": created,
            "enabled": hook.disabled_at is None,
        }

    def _find_destination(self) -> Destination:
        from airflow_provider_stitch.connect.errors import UnknownDestination

        living = [each for each in self.client.list_destinations() if each.deleted_at is None]
        listed = ", ".join(each.label for each in living) or "none"
        if self.destination is None:
            if len(living) == 1:
                return living[0]
            raise UnknownDestination(
                f"A post-load hook belongs to one destination, and this Stitch account has {listed}. Set "
                "the argument destination."
            )
        wanted = str(self.destination).strip()
        named = [each for each in living if wanted in (str(each.id), each.name)]
        if not named:
            raise UnknownDestination(f"This Stitch account has no destination {wanted!r}. It has: {listed}.")
        return min(named, key=lambda each: each.id)

    def _find_hook(self, url: str, destination: Destination) -> PostLoadHook | None:
        """Return the oldest hook that has this URL and may belong to this destination."""
        found = [
            hook
            for hook in self.client.list_post_load_hooks()
            # Stitch's list of hooks does not always contain the destination of a hook.
            if hook.url == url and hook.destination_id in (None, destination.id)
        ]
        return min(found, key=lambda hook: hook.id, default=None)

    def _create(self, url: str, destination: Destination) -> tuple[PostLoadHook, bool]:
        """Create the hook. Return the hook, and whether this task has created it.

        If another task has already created the same hook, return the other task's hook.
        """
        from airflow_provider_stitch.connect.errors import LimitReached, StitchUnavailable, UnexpectedResponse

        try:
            made = self.client.create_post_load_hook(url, destination.id)
        except (LimitReached, StitchUnavailable, UnexpectedResponse) as error:
            # The hook may exist nevertheless, because this request or another task has created it.
            found = self._find_hook(url, destination)
            if found is None:
                raise
            return found, not isinstance(error, LimitReached)
        first = self._find_hook(url, destination)
        if first is None or first.id >= made.id:
            return made, True
        self.log.info(
            "Another task created hook %s at the same time; deleting hook %s, which this task created",
            first.id,
            made.id,
        )
        self.client.delete_post_load_hook(made.id)
        return first, False

    def _report(self, hook: PostLoadHook, destination: Destination, *, created: bool) -> None:
        if created:
            self.log.info("Created post-load hook %s of destination %s", hook.id, destination.label)
            return
        self.log.info("Post-load hook %s of destination %s already exists", hook.id, destination.label)
        if hook.destination_id is None:
            self.log.warning(
                "Stitch does not report the destination of hook %s. If several destinations need a hook, "
                "give each hook a different URL.",
                hook.id,
            )
        if hook.disabled_at is not None:
            self.log.warning("Post-load hook %s is disabled, so Stitch sends no requests to its URL", hook.id)
