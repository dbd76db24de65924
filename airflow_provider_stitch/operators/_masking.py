"""Secrets that a task handles, kept from logs and from Airflow's database."""

from __future__ import annotations

from copy import copy
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Where Airflow masks secrets: 3.1 and later, 3.0, 2.
MASKERS = ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker")

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jinja2
    from airflow.providers.common.compat.sdk import BaseOperator, Context


def rendered_secrets(
    operator: BaseOperator, secrets: Mapping[str, str] | None, context: Context
) -> dict[str, str]:
    """Render the templates of secrets as strings, and let Airflow mask the results wherever it shows them.

    They are not template fields, because Airflow stores those as they were rendered. They are strings even if
    the DAG renders native objects, because that would change a secret such as `'quoted'` or `12345678`.

    :raises InvalidArgument: if one is empty or no string, or a mapped task has one without a template.
    """
    from airflow_provider_stitch.connect.errors import InvalidArgument
    from airflow_provider_stitch.operators._secret_arguments import has_template, how_to_give

    environment = _string_environment(operator)
    rendered: dict[str, str] = {}
    for name, value in (secrets or {}).items():
        if not isinstance(value, str):
            raise InvalidArgument(
                f"The secret {name!r} must be a string; it is of type {type(value).__name__}. "
                f"{how_to_give(name)}"
            )
        if getattr(context.get("ti"), "map_index", -1) >= 0 and not has_template(value):
            raise InvalidArgument(
                f"The secret {name!r} of this mapped task is not a template, so Airflow has stored it in "
                f"clear. Replace the secret, because it is exposed. {how_to_give(name)}"
            )
        text = _to_string(environment.from_string(value), context)
        if not text:
            raise InvalidArgument(
                f"The secret {name!r} is empty. Check its template and the connection that it reads."
            )
        mask(text)
        rendered[name] = text
    return rendered


def _string_environment(operator: BaseOperator) -> jinja2.Environment:
    """Return the Jinja environment of the operator's DAG, but for strings, with an empty one for None."""
    dag = operator.get_dag()
    environment = operator.get_template_env() if dag is None else dag.get_template_env(force_sandboxed=True)
    return environment.overlay(finalize=_without_none)


def _to_string(template: jinja2.Template, context: Context) -> str:
    """Render a template as Airflow does for strings. The operator's own method obeys the DAG's setting."""
    # Not Template.render: it copies the context into a dict, which evaluates what Airflow keeps lazy.
    values: Any = copy(context)
    values.update((key, value) for key, value in template.globals.items() if key not in values)
    environment = template.environment
    rendering = environment.context_class(environment, values, template.name, template.blocks)
    return "".join(template.root_render_func(rendering))


def _without_none(value: Any) -> Any:
    return "" if value is None else value


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
