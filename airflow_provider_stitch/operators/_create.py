"""The steps that the operators for sources and destinations share: find, create once, or send changes."""

from __future__ import annotations

import itertools
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from airflow_provider_stitch.operators._secrets import has_template, mask, render_secrets
from airflow_provider_stitch.operators._setup import StitchSetupOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.errors import InvalidArgument
    from airflow_provider_stitch.connect.objects import ConnectionCheck, Destination, ReportCard, Source

Made = TypeVar("Made", "Source", "Destination")

# Names of the secret values inside a credential that is an object, such as a service account's `private_key`.
SECRET_KEYS = re.compile("pass|token|secret|key|credential|private", re.IGNORECASE)


class Wanted(NamedTuple):
    """The values that a task is to send, in the types that the report card asks for."""

    properties: dict[str, Any]
    credentials: dict[str, Any]

    @property
    def all(self) -> dict[str, Any]:
        """Properties and credentials."""
        return {**self.properties, **self.credentials}


@dataclass(frozen=True)
class Brought(Generic[Made]):
    """A source or destination, and what the task did to bring it to its wanted state."""

    made: Made
    wanted: dict[str, Any]  #: all values that the task may send
    created: bool
    sent: list[str]  #: names of the properties that were sent
    check: ConnectionCheck | None  #: the last check before anything was sent; None if it was just created


class StitchCreateOperator(StitchSetupOperator, Generic[Made]):
    """A task that creates one thing with properties, and keeps them as they should be.

    Two tasks that create the same thing at the same time end with one: the one with the lower id. The other
    task deletes its own.
    """

    kind: str  #: "source" or "destination"
    properties: Mapping[str, Any] | None
    credentials: Mapping[str, Any] | None
    send_credentials: bool

    @abstractmethod
    def _list(self) -> list[Made]:
        """Return what has the wanted name and is not deleted."""

    @abstractmethod
    def _type(self) -> str:
        """Return the wanted type."""

    @abstractmethod
    def _get_type(self) -> ReportCard:
        """Return the report card of the wanted type."""

    @abstractmethod
    def _create(self, values: Mapping[str, Any]) -> Made:
        """Send a creation."""

    @abstractmethod
    def _update(self, found: Made, values: Mapping[str, Any], others: Mapping[str, Any]) -> Made:
        """Send an update of properties, and what `_other_changes` returned."""

    @abstractmethod
    def _delete(self, made: Made) -> None:
        """Delete what this task has just created, because another task was faster."""

    @abstractmethod
    def _last_check(self, found: Made) -> ConnectionCheck | None:
        """Return the last connection check, None if there was none."""

    def _is_own(self, found: Made) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether an earlier try of this task instance created it."""
        return False

    def _other_changes(self, found: Made) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Return what differs beside properties, by the name of the operator's argument."""
        return {}

    # The steps.

    def create_or_update(self, context: Context) -> Brought[Made]:
        """Create what is missing, or send what differs."""
        public, secret = self._given(context)
        found = self._find()
        card = self._card(found)
        wanted = Wanted(_typed(card, public), _typed(card, secret))
        mask_secrets(wanted.credentials)
        if found is None:
            self._refuse_without_access(card)
            made, created = self._create_once(wanted.all)
            if created:
                return Brought(made, wanted.all, created=True, sent=sorted(wanted.all), check=None)
            found = made
        check = self._last_check(found)
        card = self._card(found)
        values = self._to_send(found, card, wanted, check)
        sendable = _sendable(card, wanted.all)
        if not values and not self._other_changes(found):
            self.log.info("%s %s is as it should be", self.kind.capitalize(), found.label)
            return Brought(found, sendable, created=False, sent=[], check=check)
        made, sent = self.send(found, values)
        return Brought(made, sendable, created=False, sent=sent, check=check)

    def send(self, found: Made, values: Mapping[str, Any]) -> tuple[Made, list[str]]:
        """Send an update. Return what Stitch answers, and the names of what was sent."""
        others = self._other_changes(found)
        made = self._update(found, values, others)
        sent = sorted(values) + sorted(others)
        self.log.info("Changed %s %s: sent %s", self.kind, made.label, ", ".join(sent))
        return made, sent

    def _given(self, context: Context) -> tuple[dict[str, Any], dict[str, Any]]:
        public = {} if self.properties is None else self.properties
        if not isinstance(public, Mapping):
            raise self._refusal(
                f"properties must be a dict from names to values; they are of type {type(public).__name__}. "
                "A template that renders a dict needs render_template_as_native_obj=True in its DAG."
            )
        return dict(public), render_credentials(self, self.credentials, context)

    def _find(self, own: int | None = None) -> Made | None:
        """Return what has the wanted name; of several, the one with the lowest id.

        Others that this task created are deleted.

        :param own: the id of what this try has created.
        """
        found = sorted(self._list(), key=lambda each: each.id)
        if not found:
            return None
        others = []
        for each in found[1:]:
            if each.id == own or self._is_own(each):
                self.log.warning(
                    "Stitch has %s %s already. Deleting %s, which this task created at the same time.",
                    self.kind,
                    found[0].label,
                    each.label,
                )
                self._delete(each)
            else:
                others.append(each.label)
        if others:
            self.log.warning(
                "Stitch has %s %s and others of this name: %s. Using the one with the lowest id. Delete the "
                "others in Stitch unless you need them.",
                self.kind,
                found[0].label,
                ", ".join(others),
            )
        if found[0].type != self._type():
            raise self._refusal(
                f"{self.kind.capitalize()} {found[0].label} is of type {found[0].type}, not {self._type()}. "
                f"A {self.kind} keeps its type: choose another name."
            )
        return found[0]

    def _card(self, found: Made | None) -> ReportCard:
        card = found.report_card if found is not None else None
        return card if card is not None and card.steps else self._get_type()

    def _refuse_without_access(self, card: ReportCard) -> None:
        from airflow_provider_stitch.connect.errors import NotInPlan

        if card.details is not None and card.details.access is False:
            raise NotInPlan(
                f"The plan of this Stitch account does not include {self.kind}s of type {card.type}, so none "
                "was created. Choose another type, or ask Stitch for access."
            )

    def _create_once(self, values: Mapping[str, Any]) -> tuple[Made, bool]:
        """Create it. Return it, or what another task has created at the same time, and whether it is ours."""
        from airflow_provider_stitch.connect.errors import LimitReached, NameInUse

        try:
            made = self._create(values)
        except (LimitReached, NameInUse):
            first = self._find()
            if first is None:
                raise
            self.log.info("Another task created %s %s at the same time", self.kind, first.label)
            return first, False
        first = self._find(made.id)
        if first is None or first.id >= made.id:
            self.log.info("Created %s %s", self.kind, made.label)
            return made, True
        return first, False

    # What to send.

    def _to_send(
        self, found: Made, card: ReportCard, wanted: Wanted, check: ConnectionCheck | None
    ) -> dict[str, Any]:
        """Return the properties to send to something that exists; empty if it is as it should be."""
        from airflow_provider_stitch.connect.property_values import (
            changed_properties,
            reject_immutable_changes,
        )

        changed = changed_properties(card, wanted.properties, found.properties)
        reject_immutable_changes(f"{self.kind} {found.label}", card, changed)
        missing = set(itertools.chain(*_missing(found).values()))
        reasons = {
            "they differ": bool(changed),
            "Stitch does not have them yet": bool(missing & set(wanted.all)),
            "the last connection check failed": check is not None and check.status == "failed",
            "Stitch has not checked the connection": check is None and _waits_for_check(found, missing),
        }
        reason = next((words for words, holds in reasons.items() if holds), None)
        if reason is not None and wanted.all:
            self.log.info("Sending all properties of %s %s, because %s", self.kind, found.label, reason)
            return _sendable(card, wanted.all)
        return _sendable(card, wanted.credentials) if self.send_credentials else {}

    def log_missing(self, made: Made) -> dict[str, list[str]]:
        """Return the required properties that Stitch does not have, by step, and log them."""
        missing = _missing(made)
        if missing:
            self.log.warning("%s", self.incomplete(made, missing))
        return {step: list(names) for step, names in missing.items()}

    def incomplete(self, made: Made, missing: Mapping[str, Sequence[str]]) -> str:
        """Return the message about a configuration that is not complete."""
        steps = "; ".join([f"step {step}: " + ", ".join(missing[step]) for step in missing])
        return (
            f"The configuration of {self.kind} {made.label} is not complete, so Stitch does not check its "
            f"connection. Missing properties: {steps}. Add them to properties or credentials and run the "
            "task again, or finish the configuration in Stitch."
        )

    @staticmethod
    def _refusal(message: str) -> InvalidArgument:
        from airflow_provider_stitch.connect.errors import InvalidArgument

        return InvalidArgument(message)


def _typed(card: ReportCard, values: Mapping[str, Any]) -> dict[str, Any]:
    from airflow_provider_stitch.connect.property_values import convert_to_schema

    return convert_to_schema(card, values)


def _sendable(card: ReportCard, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what Stitch has already and does not let change."""
    from airflow_provider_stitch.connect.property_values import is_immutable

    return {name: value for name, value in values.items() if not is_immutable(card, name)}


def _missing(made: Source | Destination) -> dict[str, tuple[str, ...]]:
    """Return the required properties that Stitch does not have, by step."""
    card = made.report_card
    return {} if card is None else card.missing_by_step


def _waits_for_check(made: Source | Destination, missing: set[str]) -> bool:
    """Return whether only a connection check is missing."""
    return not missing and made.current_step in ("form", "discover_schema")


def render_credentials(
    operator: StitchSetupOperator, credentials: Mapping[str, Any] | None, context: Context
) -> dict[str, Any]:
    """Render credentials, which are strings, or objects with strings and further objects inside."""
    rendered: dict[str, Any] = {}
    for name, value in (credentials or {}).items():
        if isinstance(value, Mapping):
            rendered[name] = _render_object(operator, value, context)
        else:
            rendered |= render_secrets(operator, {name: value}, context)
    return rendered


def _render_object(
    operator: StitchSetupOperator, value: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    """Render the templates inside an object. Other values, such as its `type`, are not secret as such."""
    rendered: dict[str, Any] = {}
    for key, each in value.items():
        if isinstance(each, Mapping):
            rendered[key] = _render_object(operator, each, context)
        elif isinstance(each, str) and (has_template(each) or SECRET_KEYS.search(key)):
            rendered |= render_secrets(operator, {key: each}, context)
        else:
            rendered[key] = each
    return rendered


def mask_secrets(credentials: Mapping[str, Any]) -> None:
    """Let Airflow mask the secret values inside credentials that are objects."""
    for name, value in credentials.items():
        if isinstance(value, Mapping):
            mask_secrets(value)
        elif isinstance(value, str) and value and SECRET_KEYS.search(name):
            mask(value)
