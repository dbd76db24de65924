"""Parse the exit line of an extraction log, which shows how each phase of the job ended.

Source: Stitch Connect API, "Extraction logs", section on exit statuses. The runner writes the exit line even
if the job fails. An error message in the exit line may contain any text, including text that looks like the
end of the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.objects.json import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_EXIT_LINE_LENGTH = 2000  #: maximum length of the exit line and of each message, in characters

PHASES = ("Discovery", "Tap", "Target")
_CLAUSE = re.compile(
    r"\s*(Discovery|Tap|Target)\s+(?:succeeded\.|failed\s+with\s+code\s+(-?\d{1,9})"
    r'(?:\.|\s+and\s+error\s+message:\s+(")))'
)
_MESSAGE_END = re.compile(r'"\.(?=\s*(?:$|Tap\s|Target\s))')
_TERMINATED = -15  # the runner sends this signal (SIGTERM) to the tap if the target fails


@dataclass(frozen=True, slots=True)
class PhaseExit:
    """The outcome of one phase of a job."""

    phase: str  #: `Discovery`, `Tap` or `Target`
    #: The exit code. 0 means success. A negative code is the number of the signal that ended the process,
    #: such as -9 (SIGKILL) or -15 (SIGTERM).
    code: int
    message: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the phase ended with a nonzero exit code or with an error message."""
        return self.code != 0 or self.message is not None


def failure_cause(exits: Sequence[PhaseExit]) -> PhaseExit | None:
    """Return the phase that caused the job to fail, or None if no phase failed.

    Usually the cause is the first phase that failed. If the runner terminated the tap because the target
    failed, the cause is the target.
    """
    failed = [each for each in exits if each.failed]
    if len(failed) > 1 and failed[0].phase == "Tap" and failed[0].code == _TERMINATED:
        return failed[1]
    return failed[0] if failed else None


def parse_exit_line(first: str, whole: str) -> tuple[PhaseExit, ...]:
    """Return the outcome of each phase that an exit line contains.

    The lines after an exit line may be unrelated, or they may continue the exit line. The function therefore
    first parses the exit line together with the following lines. If that text is not valid, the exit line is
    parsed alone. If the exit line is not valid either, the text is parsed as far as possible.

    :param first: the exit line without the following lines.
    :param whole: the exit line together with the following lines that may continue it.
    """
    texts = [text.partition(":")[2] for text in (whole, first)]
    for text in texts:
        if exits := _clauses(text, 0, PHASES):
            return exits
    return _leading_clauses(texts[0])


def _clauses(text: str, start: int, phases: tuple[str, ...]) -> tuple[PhaseExit, ...] | None:
    """Parse a text that consists only of clauses about phases, in the order of the phases.

    Return None for any other text.
    """
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
    # A message may contain text that looks like the end of a message. The real end of the message is the
    # first position after which the remaining text can be parsed.
    for end in _MESSAGE_END.finditer(text, clause.end()):
        rest = _clauses(text, end.end(), later)
        if rest is not None:
            return (_phase_exit(clause, text[clause.end() : end.start()]), *rest)
    return None


def _leading_clauses(text: str) -> tuple[PhaseExit, ...]:
    """Parse the clauses at the start of a text, up to and including the first error message."""
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
    # A failure with code 0 is unusual, but the exit line states that the phase failed.
    if message is None and code == 0:
        message = "failed with code 0"
    return PhaseExit(clause[1], code, None if message is None else one_line(message, MAX_EXIT_LINE_LENGTH))
