"""The base class of operators that create or update a source or destination."""

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

Item = TypeVar("Item", "Source", "Destination")

# Keys of secret values in a credential that is an object, such as `private_key` in the key file of a service
# account.
SECRET_KEYS = re.compile("pass|token|secret|key|credential|private", re.IGNORECASE)


class WantedValues(NamedTuple):
    """The values that a task may send to Stitch, converted to the types that the report card requires."""

    properties: dict[str, Any]
    credentials: dict[str, Any]

    @property
    def all(self) -> dict[str, Any]:
        """The properties together with the credentials."""
        return {**self.properties, **self.credentials}


@dataclass(frozen=True)
class SetupResult(Generic[Item]):
    """A source or destination, and the changes that the task has made to it."""

    item: Item
    wanted: dict[str, Any]  #: all values that the task may send to Stitch
    created: bool
    sent: list[str]  #: names of the properties that were sent
    check: ConnectionCheck | None  #: last connection check before the task sent an update, if any


class StitchCreateOperator(StitchSetupOperator, Generic[Item]):
    """Base class of operators that create one source or destination, or update the properties of one.

    If two tasks create the same object at the same time, the object with the lower id remains. The other task
    deletes the object that it has created.
    """

    kind: str  #: "source" or "destination"
    properties: Mapping[str, Any] | None
    credentials: Mapping[str, Any] | None
    send_credentials: bool

    @abstractmethod
    def _list(self) -> list[Item]:
        """Return the objects that have the requested name and are not deleted."""

    @abstractmethod
    def _type(self) -> str:
        """Return the requested type of the source or destination."""

    @abstractmethod
    def _get_type(self) -> ReportCard:
        """Return the report card of the requested type."""

    @abstractmethod
    def _create(self, values: Mapping[str, Any]) -> Item:
        """Create the object in Stitch."""

    @abstractmethod
    def _update(self, existing: Item, values: Mapping[str, Any], others: Mapping[str, Any]) -> Item:
        """Update the properties in Stitch, and apply the changes from `_other_changes`."""

    @abstractmethod
    def _delete(self, item: Item) -> None:
        """Delete an object that this task has just created, because another task created it first."""

    @abstractmethod
    def _last_check(self, existing: Item) -> ConnectionCheck | None:
        """Return the last connection check, or None if the connection was never checked."""

    def _is_own(self, existing: Item) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether an earlier try of this task instance has created the object."""
        return False

    def _other_changes(self, existing: Item) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Return the changes to values that are not properties, by the name of the operator's argument."""
        return {}

    # --- The steps --------------------------------------------------------------------------------------

    def create_or_update(self, context: Context) -> SetupResult[Item]:
        """Create the object or, if it already exists, send its properties if necessary."""
        public, secret = self._arguments(context)
        existing = self._find()
        card = self._card(existing)
        wanted = WantedValues(_typed(card, public), _typed(card, secret))
        mask_secrets(wanted.credentials)
        if existing is None:
            self._reject_without_access(card)
            item, created = self._create_once(wanted.all)
            if created:
                return SetupResult(item, wanted.all, created=True, sent=sorted(wanted.all), check=None)
            existing = item
        check = self._last_check(existing)
        card = self._card(existing)
        values = self._to_send(existing, card, wanted, check)
        sendable = _sendable(card, wanted.all)
        if not values and not self._other_changes(existing):
            self.log.info("%s %s is up to date; sent nothing", self.kind.capitalize(), existing.label)
            return SetupResult(existing, sendable, created=False, sent=[], check=check)
        item, sent = self.send(existing, values)
        return SetupResult(item, sendable, created=False, sent=sent, check=check)

    def send(self, existing: Item, values: Mapping[str, Any]) -> tuple[Item, list[str]]:
        """Send an update to Stitch. Return the updated object and the names of the values that were sent."""
        others = self._other_changes(existing)
        item = self._update(existing, values, others)
        sent = sorted(values) + sorted(others)
        self.log.info("Changed %s %s: sent %s", self.kind, item.label, ", ".join(sent))
        return item, sent

    def _arguments(self, context: Context) -> tuple[dict[str, Any], dict[str, Any]]:
        public = {} if self.properties is None else self.properties
        if not isinstance(public, Mapping):
            raise self._invalid_argument(
                f"properties must be a dict that maps names to values, not a {type(public).__name__}. "
                "A template that renders a dict needs render_template_as_native_obj=True in its DAG."
            )
        return dict(public), render_credentials(self, self.credentials, context)

    def _find(self, own: int | None = None) -> Item | None:
        """Return the object with the requested name, or None if it does not exist.

        If several objects have the name, return the object with the lowest id. Delete any other object with
        this name that this task has created.

        :param own: id of the object that this try has created.
        """
        existing = sorted(self._list(), key=lambda each: each.id)
        if not existing:
            return None
        oldest, others = existing[0], []
        for each in existing[1:]:
            if each.id == own or self._is_own(each):
                self.log.warning(
                    "Stitch already has %s %s; deleting %s, which this task created at the same time",
                    self.kind,
                    oldest.label,
                    each.label,
                )
                self._delete(each)
            else:
                others.append(each.label)
        if others:
            self.log.warning(
                "Stitch has %s %s and others with the same name: %s. Using the first, with the lowest id. "
                "Delete the others in Stitch unless you need them.",
                self.kind,
                oldest.label,
                ", ".join(others),
            )
        if oldest.type != self._type():
            raise self._invalid_argument(
                f"{self.kind.capitalize()} {oldest.label} is of type {oldest.type}, not {self._type()}. "
                f"The type of a {self.kind} cannot be changed. Choose another name."
            )
        return oldest

    def _card(self, existing: Item | None) -> ReportCard:
        card = existing.report_card if existing is not None else None
        return card if card is not None and card.steps else self._get_type()

    def _reject_without_access(self, card: ReportCard) -> None:
        from airflow_provider_stitch.connect.errors import NotInPlan

        if card.details is not None and card.details.access is False:
            raise NotInPlan(
                f"The plan of this Stitch account does not include {self.kind}s of type {card.type}, so none "
                "was created. Choose another type, or ask Stitch for access."
            )

    def _create_once(self, values: Mapping[str, Any]) -> tuple[Item, bool]:
        """Create the object.

        Return the object, and whether this task has created it. If another task has already created an object
        with the same name, return the other task's object.
        """
        from airflow_provider_stitch.connect.errors import LimitReached, NameInUse

        try:
            item = self._create(values)
        except (LimitReached, NameInUse):
            first = self._find()
            if first is None:
                raise
            self.log.info("Another task created %s %s at the same time", self.kind, first.label)
            return first, False
        first = self._find(item.id)
        if first is None or first.id >= item.id:
            self.log.info("Created %s %s", self.kind, item.label)
            return item, True
        return first, False

    # --- The values to send -----------------------------------------------------------------------------

    def _to_send(
        self, existing: Item, card: ReportCard, wanted: WantedValues, check: ConnectionCheck | None
    ) -> dict[str, Any]:
        """Return the properties to send for an existing object, or {} if the object is up to date."""
        from airflow_provider_stitch.connect.property_values import (
            changed_properties,
            reject_immutable_changes,
        )

        changed = changed_properties(card, wanted.properties, existing.properties)
        reject_immutable_changes(f"{self.kind} {existing.label}", card, changed)
        missing = set(itertools.chain(*_missing(existing).values()))
        reasons = {
            "they differ": bool(changed),
            "Stitch does not have them yet": bool(missing & set(wanted.all)),
            "the last connection check failed": check is not None and check.status == "failed",
            "Stitch has not checked the connection": check is None and _waits_for_check(existing, missing),
        }
        reason = next((words for words, holds in reasons.items() if holds), None)
        if reason is not None and wanted.all:
            self.log.info("Sending all properties of %s %s, because %s", self.kind, existing.label, reason)
            return _sendable(card, wanted.all)
        return _sendable(card, wanted.credentials) if self.send_credentials else {}

    def log_missing(self, item: Item) -> dict[str, list[str]]:
        """Log and return the required properties that are missing in Stitch, grouped by step."""
        missing = _missing(item)
        if missing:
            self.log.warning("%s", self.incomplete(item, missing))
        return {step: list(names) for step, names in missing.items()}

    def incomplete(self, item: Item, missing: Mapping[str, Sequence[str]]) -> str:
        """Return the log message about an incomplete configuration."""
        steps = "; ".join([f"step {step}: " + ", ".join(missing[step]) for step in missing])
        return (
            f"The configuration of {self.kind} {item.label} is not complete, so Stitch does not check its "
            f"connection. Missing properties: {steps}. Add them to properties or credentials and run the "
            "task again, or finish the configuration in Stitch."
        )

    @staticmethod
    def _invalid_argument(message: str) -> InvalidArgument:
        from airflow_provider_stitch.connect.errors import InvalidArgument

        return InvalidArgument(message)


def _typed(card: ReportCard, values: Mapping[str, Any]) -> dict[str, Any]:
    from airflow_provider_stitch.connect.property_values import convert_to_schema

    return convert_to_schema(card, values)


def _sendable(card: ReportCard, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the property values that Stitch allows to change."""
    from airflow_provider_stitch.connect.property_values import is_immutable

    return {name: value for name, value in values.items() if not is_immutable(card, name)}


def _missing(item: Source | Destination) -> dict[str, tuple[str, ...]]:
    """Return the required properties that are missing in Stitch, grouped by step."""
    card = item.report_card
    return {} if card is None else card.missing_by_step


def _waits_for_check(item: Source | Destination, missing: set[str]) -> bool:
    """Return whether the configuration only lacks a connection check."""
    return not missing and item.current_step in ("form", "discover_schema")


def render_credentials(
    operator: StitchSetupOperator, credentials: Mapping[str, Any] | None, context: Context
) -> dict[str, Any]:
    """Render credentials.

    A credential is a string or an object, and an object may contain further objects.
    """
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
    """Render the templates and secrets in an object. Other values, such as its `type`, stay unchanged."""
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
    """Make Airflow mask the secret values inside of credentials that are objects."""
    for name, value in credentials.items():
        if isinstance(value, Mapping):
            mask_secrets(value)
        elif isinstance(value, str) and value and SECRET_KEYS.search(name):
            mask(value)
