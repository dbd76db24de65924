"""Functions that keep a task's secrets out of the logs and out of Airflow's database.

Airflow stores the arguments of a mapped task (`.partial()` and `.expand()`) in the serialized DAG, and the
results of tasks in XCom. Templates can be stored safely, because they contain only references to secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import XComArg

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import BaseOperator, Context

T = TypeVar("T")

# Names of the modules that mask secrets in Airflow 3.1 and later, in Airflow 3.0, and in Airflow 2.
MASKERS = ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker")


def render_secrets(
    operator: BaseOperator, secrets: Mapping[str, str] | None, context: Context
) -> dict[str, str]:
    """Render the templates of secrets as strings, and make Airflow mask the results.

    Secrets are not template fields, because Airflow stores the rendered values of template fields. Secrets
    are always rendered as strings, because native rendering would change a secret such as `'quoted'` or
    `12345678`.

    :raises InvalidArgument: if a secret is empty, is not a string, or is a literal in a mapped task.
    """
    from airflow_provider_stitch.connect.errors import InvalidArgument

    environment = _string_environment(operator)
    rendered: dict[str, str] = {}
    for name, value in (secrets or {}).items():
        if not isinstance(value, str):
            raise InvalidArgument(
                f"The secret {name!r} must be a string; it is of type {type(value).__name__}. "
                f"{secret_advice(name)}"
            )
        if _is_stored(operator, context) and not has_template(value):
            raise InvalidArgument(
                f"The secret {name!r} of this mapped task is not a template, so Airflow has stored it in "
                f"plain text. Replace the secret, because it is exposed. {secret_advice(name)}"
            )
        text = _to_string(environment.from_string(value), context)
        if not text:
            raise InvalidArgument(
                f"The secret {name!r} is empty. Check its template and the connection that it reads."
            )
        mask(text)
        rendered[name] = text
    return rendered


def _is_stored(operator: BaseOperator, context: Context) -> bool:
    """Return whether this task is mapped. Airflow stores the arguments of a mapped task.

    A task in a mapped task group is not itself mapped.
    """
    is_expanded = getattr(context.get("ti"), "map_index", -1) >= 0
    return is_expanded and operator.get_closest_mapped_task_group() is None


def _string_environment(operator: BaseOperator) -> jinja2.Environment:
    """Return a Jinja environment of the DAG that always renders strings.

    None is rendered as an empty string.
    """
    dag = operator.get_dag()
    environment = operator.get_template_env() if dag is None else dag.get_template_env(force_sandboxed=True)
    return environment.overlay(finalize=_without_none)


def _to_string(template: jinja2.Template, context: Context) -> str:
    """Render a template as a string, even if the DAG sets `render_template_as_native_obj`."""
    # Do not call Template.render, which copies the context into a dict and therefore evaluates all lazy
    # values.
    values: Any = copy(context)
    values.update((key, value) for key, value in template.globals.items() if key not in values)
    environment = template.environment
    rendering = environment.context_class(environment, values, template.name, template.blocks)
    return "".join(template.root_render_func(rendering))


def _without_none(value: Any) -> Any:
    return "" if value is None else value


def mask(secret: str) -> None:
    """Make Airflow replace a secret with asterisks in logs and rendered templates."""
    masker: Any = None
    for module in MASKERS:
        try:
            masker = import_module(module)
        except ImportError:
            continue
        break
    masker.mask_secret(secret)


def secret_advice(name: str) -> str:
    """Return advice on how to pass a secret, for use in error messages."""
    return (
        "Store it in an Airflow connection or secrets backend, and pass a template: "
        f'"{{{{ conn.<connection id>.password }}}}" for {name!r}.'
    )


def has_template(value: str) -> bool:
    """Return whether a string contains a Jinja template instead of a secret."""
    return "{{" in value or "{%" in value


def reject_xcom(name: str, value: object) -> None:
    """Reject a secret that is the result of a task.

    :raises ValueError: if the value is the result of a task or contains one.
    """
    if any(isinstance(each, XComArg) for each in (value, *_leaves(value))):
        raise ValueError(
            f"{name} must not be the result of a task, because Airflow stores results in plain text as XCom. "
            f"{secret_advice(name)}"
        )


def reject_group_argument(name: str, value: T) -> T:
    """Return a secret, but reject secrets that are arguments of a mapped task group.

    :raises ValueError: if the secret is or contains an argument of a mapped task group.
    """
    # An XComArg also has the method `iter_references`, but XComArgs are rejected later, when the task runs.
    references = [each for each in (value, *_leaves(value)) if hasattr(each, "iter_references")]
    if any(not isinstance(each, XComArg) for each in references):
        raise ValueError(
            f"{name} must not be an argument of a mapped task group, because Airflow stores the arguments of "
            f".expand() and .expand_kwargs() in plain text in the serialized DAG. {secret_advice(name)}"
        )
    return value


def reject_literals(names: Iterable[str], arguments: Mapping[str, Any]) -> None:
    """Reject secrets that are passed as literals to a mapped task.

    :param names: names of the secret arguments.
    :raises ValueError: if a secret argument contains a literal.
    """
    for name in names:
        reject_xcom(name, arguments.get(name))
        for leaf in _leaves(arguments.get(name)):
            if leaf is not None and not (isinstance(leaf, str) and has_template(leaf)):
                # The message does not contain the value, because the value may be a secret.
                raise ValueError(
                    f"{name} of a mapped task must be templates, because Airflow stores the arguments of "
                    f".partial() and .expand() in plain text in the serialized DAG. {secret_advice(name)}"
                )


class SafePartial:
    """The result of calling `.partial()` on an operator with secret arguments."""

    def __init__(self, partial: Any, names: Iterable[str]) -> None:
        self._partial = partial
        self._names = names

    def expand(self, **mapped_kwargs: Any) -> Any:
        """Return a task that is mapped over the given arguments.

        :raises ValueError: if a secret is a literal.
        """
        reject_literals(self._names, mapped_kwargs)
        return self._partial.expand(**mapped_kwargs)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> Any:
        """Return a task that is mapped over the given sets of arguments.

        Sets that another task returns are not checked until the mapped task runs.

        :raises ValueError: if a secret is a literal.
        """
        for each in kwargs if isinstance(kwargs, Sequence) else ():
            if isinstance(each, Mapping):
                reject_literals(self._names, each)
        return self._partial.expand_kwargs(kwargs, strict=strict)


def _leaves(value: object) -> list[object]:
    """Return all values in nested dicts and lists."""
    if isinstance(value, Mapping):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]
