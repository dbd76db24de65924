"""Functions that compare the sample output in a page with the output of the page's commands."""

from __future__ import annotations

import re

from tools.doc_blocks import blocks

# Patterns of values that differ between runs. Job names and times are replaced before numbers, because job
# names and times contain digits.
_VARIABLE = (
    (re.compile(r"\d+\.\d+\.sync\.[0-9a-f-]+"), "JOB"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?([+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"after \d+ s"), "after N s"),
    (re.compile(r"(\.py):\d+"), r"\1:LINE"),
    (re.compile(r" +"), " "),
)
#: The text that Airflow 3 prints before and after a message.
_PREFIX = re.compile(r"^\S+ \[\w+ *\] ")
_SUFFIX = re.compile(r" \[[\w.]+\] loc=.*$")


def sample_output(page: str) -> list[str]:
    """Return the lines in the `text` blocks of a page."""
    return [line for block in blocks("text") if block.page == page for line in block.code.splitlines()]


def missing_lines(sample: list[str], output: str, *, with_prefix: bool) -> list[str]:
    """Return the lines of a sample that are missing in the output.

    Lines in a different order are regarded as missing.

    Job names, times and line numbers may differ. A sample line that ends with `...` matches any line that
    starts with the same text.

    :param with_prefix: whether to compare the prefix that Airflow adds to messages. If False, only the
        messages are compared.
    """
    printed = [_comparable(line, with_prefix=with_prefix) for line in output.splitlines()]
    missing = []
    for line in sample:
        wanted = _comparable(line, with_prefix=with_prefix)
        position = next((number for number, each in enumerate(printed) if _matches(each, wanted)), None)
        if position is None:
            missing.append(line)
        else:
            printed = printed[position + 1 :]
    return missing


def _matches(printed: str, wanted: str) -> bool:
    if wanted.endswith("..."):
        return wanted.removesuffix("...") in printed
    return wanted in printed


def _comparable(line: str, *, with_prefix: bool) -> str:
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    if not with_prefix:
        line = _SUFFIX.sub("", _PREFIX.sub("", line))
    for pattern, name in _VARIABLE:
        line = pattern.sub(name, line)
    return line.strip()
