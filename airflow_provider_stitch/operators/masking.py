"""Secrets that a task handles, kept from logs and from Airflow's database."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Where Airflow masks secrets: 3.1 and later, 3.0, 2.
MASKERS = ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker")

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import BaseOperator, Context


def rendered_secrets(
    operator: BaseOperator, secrets: Mapping[str, str] | None, context: Context
) -> dict[str, str]:
    """Render the templates of secrets, and let Airflow mask the results wherever it would show them.

    They are no template fields: Airflow stores those as they were rendered.
    """
    from airflow_provider_stitch.connect.errors import InvalidArgument

    rendered: dict[str, Any] = operator.render_template(dict(secrets or {}), context)
    for name, value in rendered.items():
        if not isinstance(value, str) or not value:
            raise InvalidArgument(f"The secret {name!r} is empty, or no text. Look at its template.")
        mask(value)
    return rendered


def mask(secret: str) -> None:
    """Let Airflow show asterisks in place of a secret, in logs and rendered templates."""
    masker: Any = None
    for module in MASKERS:
        try:
            masker = import_module(module)
        except ImportError:
            continue
        break
    masker.mask_secret(secret)
