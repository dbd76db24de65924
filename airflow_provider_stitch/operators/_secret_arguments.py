"""Refuse secrets in the arguments of operators where Airflow would store them in clear.

Airflow keeps the arguments of a mapped task (`.partial()` and `.expand()`) in the serialized DAG, and results
of tasks in XCom, both in its database. A template is harmless there: it only says where the secret is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import XComArg


def how_to_give(name: str) -> str:
    """Return how to give a secret."""
    return (
        "Store it in an Airflow connection or secrets backend, and give a template: "
        f'"{{{{ conn.<connection id>.password }}}}" for {name!r}.'
    )


def has_template(value: str) -> bool:
    """Return whether a string has a Jinja template, so that it is not the secret."""
    return "{{" in value or "{%" in value


def refuse_xcom(name: str, value: object) -> None:
    """Refuse the result of a task as a secret.

    :raises ValueError: if it is one.
    """
    if any(isinstance(each, XComArg) for each in (value, *_leaves(value))):
        raise ValueError(
            f"{name} must not be the result of a task, because Airflow stores results in clear as XCom. "
            f"{how_to_give(name)}"
        )


def refuse_literals(names: Iterable[str], arguments: Mapping[str, Any]) -> None:
    """Refuse secrets without a template among arguments of a mapped task.

    :param names: those of the secret arguments.
    :raises ValueError: if there is one.
    """
    for name in names:
        refuse_xcom(name, arguments.get(name))
        for leaf in _leaves(arguments.get(name)):
            if leaf is not None and not (isinstance(leaf, str) and has_template(leaf)):
                # The value is not shown, because it may be a secret.
                raise ValueError(
                    f"{name} of a mapped task must be templates, because Airflow stores the arguments of "
                    f".partial() and .expand() in clear in the serialized DAG. {how_to_give(name)}"
                )


class SafePartial:
    """The result of `.partial()` of an operator with secret arguments."""

    def __init__(self, partial: Any, names: Iterable[str]) -> None:
        self._partial = partial
        self._names = names

    def expand(self, **mapped_kwargs: Any) -> Any:
        """Map over these arguments.

        :raises ValueError: if a secret is given without a template.
        """
        refuse_literals(self._names, mapped_kwargs)
        return self._partial.expand(**mapped_kwargs)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> Any:
        """Map over these sets of arguments. Sets that a task returns are checked when they are used.

        :raises ValueError: if a secret is given without a template.
        """
        for each in kwargs if isinstance(kwargs, Sequence) else ():
            if isinstance(each, Mapping):
                refuse_literals(self._names, each)
        return self._partial.expand_kwargs(kwargs, strict=strict)


def _leaves(value: object) -> list[object]:
    """Return the values inside of dicts and lists."""
    if isinstance(value, Mapping):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]
