"""The exit line of an extraction log: how each phase of the job ended.

Source: Stitch Connect API, "Extraction logs" (exit status). The runner writes the line, also on failure.
A message in it can contain anything, even text that resembles the end of the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.objects.json import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_EXIT_LINE_LENGTH = 2000  #: characters of the exit line, and of each message in it

PHASES = ("Discovery", "Tap", "Target")
_CLAUSE = re.compile(
    r"\s*(Discovery|Tap|Target)\s+(?:succeeded\.|failed\s+with\s+code\s+(-?\d{1,9})"
    r'(?:\.|\s+and\s+error\s+message:\s+(")))'
)
_MESSAGE_END = re.compile(r'"\.(?=\s*(?:$|Tap\s|Target\s))')
_TERMINATED = -15  # the signal that the runner sends to a tap if the target has failed


@dataclass(frozen=True, slots=True)
class PhaseExit:
    """How one phase of a job ended."""

    phase: str  #: `Discovery`, `Tap` or `Target`
    #: 0 is success; a negative code is the signal that ended the process (-9 killed, -15 terminated).
    code: int
    message: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the phase ended with a code other than 0, or with a message."""
        return self.code != 0 or self.message is not None


def failure_cause(exits: Sequence[PhaseExit]) -> PhaseExit | None:
    """Return the phase that made the job fail, or None.

    That is the first failed phase, or the target if the runner terminated the tap because of it.
    """
    failed = [each for each in exits if each.failed]
    if len(failed) > 1 and failed[0].phase == "Tap" and failed[0].code == _TERMINATED:
        return failed[1]
    return failed[0] if failed else None


def parse_exit_line(first: str, whole: str) -> tuple[PhaseExit, ...]:
    """Return the outcome of each phase according to an exit line.

    The line may be wrapped, or followed by unrelated lines, and these cases cannot be distinguished. So it is
    parsed with the following lines first, then alone, and at last as far as possible.

    :param first: the line itself.
    :param whole: the line together with the lines that may continue it.
    """
    texts = [text.partition(":")[2] for text in (whole, first)]
    for text in texts:
        if exits := _clauses(text, 0, PHASES):
            return exits
    return _leading_clauses(texts[0])


def _clauses(text: str, start: int, phases: tuple[str, ...]) -> tuple[PhaseExit, ...] | None:
    """Return the clauses if the whole text consists of clauses in the order of the phases, else None."""
    if not text[start:].strip():
        return ()
    clause = _CLAUSE.match(text, start)
    if clause is None or clause[1] not in phases:
        return None
    later = phases[phases.index(clause[1]) + 1 :]
    if clause[3] is None:
        rest = _clauses(text, clause.end(), later)
        return None if rest is None else (_phase_exit(clause), *rest)
    if not later:
        end_of_last = text.rfind('".', clause.end())
        closed = end_of_last >= 0 and not text[end_of_last + 2 :].strip()
        return (_phase_exit(clause, text[clause.end() : end_of_last]),) if closed else None
    # A message can contain the text that ends a message, so it ends where the rest can be parsed.
    for end in _MESSAGE_END.finditer(text, clause.end()):
        rest = _clauses(text, end.end(), later)
        if rest is not None:
            return (_phase_exit(clause, text[clause.end() : end.start()]), *rest)
    return None


def _leading_clauses(text: str) -> tuple[PhaseExit, ...]:
    """Return the clauses at the start of a text. A message that has no clear end is the last one."""
    exits: list[PhaseExit] = []
    position = 0
    while (clause := _CLAUSE.match(text, position)) and len(exits) < len(PHASES):
        if clause[3] is not None:
            end = text.rfind('".', clause.end())
            return (*exits, _phase_exit(clause, text[clause.end() : end if end >= 0 else None]))
        exits.append(_phase_exit(clause))
        position = clause.end()
    return tuple(exits)


def _phase_exit(clause: re.Match[str], message: str | None = None) -> PhaseExit:
    if clause[2] is None:
        return PhaseExit(clause[1], 0)
    code = int(clause[2])
    if message is None and code == 0:  # unusual, but a failure according to the line
        message = "failed with code 0"
    return PhaseExit(clause[1], code, None if message is None else one_line(message, MAX_EXIT_LINE_LENGTH))
