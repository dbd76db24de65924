"""Count habits of English that make text hard to read, and fail if an area has too many of them.

`make lint` runs this module as `python -m tools.prose_check`. The check reads the areas and their limits from
`[tool.prose]` in pyproject.toml, and counts habits per 1,000 words of docstrings, comments, messages, test
names and Markdown pages. Code blocks and code in backquotes are ignored.

To print each occurrence, run `python -m tools.prose_check --list PATH ...`.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[1]

#: Names of folders with generated or installed files.
SKIPPED_FOLDERS = frozenset({"_build", "__pycache__", ".venv"})

#: Minimum number of words in a message. A shorter string is regarded as a name or a key.
MIN_MESSAGE_WORDS = 4
#: Maximum number of lines in a message. A longer string is regarded as a script or a sample document.
MAX_MESSAGE_LINES = 3


@dataclass(frozen=True)
class Habit:
    """A habit of writing, with advice on what to write instead."""

    name: str
    pattern: re.Pattern[str]
    instead: str


def _habit(name: str, pattern: str, instead: str) -> Habit:
    # In a passage, a phrase may contain a line break instead of a space.
    return Habit(name, re.compile(pattern.replace(" ", r"\s"), re.MULTILINE), instead)


# Pattern for the start of a sentence, which is the start of a passage or line, or the place after a period,
# colon or semicolon.
_START = r"(?:^|(?<=[.:;!?] ))"

# Things that are often the subjects of sentences in this project, and are not persons.
_THING = (
    r"(?:account|client|emulator|hook|job|list|log|operator|page|poller|process|request|sensor|source|stream|"
    r"task|trigger|triggerer|waiter|worker)s?"
)

HABITS = (
    # A pronoun for a person does not show whether the task, the poller or the worker acts. "Users who ..."
    # and the question "Who ...?" are fine.
    _habit(
        "a person for a thing",
        r"\b(?:[Ww]hoever|[Nn]obody|[Ss]omebody|[Aa]nybody|[Ee]verybody)\b"
        rf"|\b(?:all|many|others|those|{_THING}) who\b|{_START}Who\b(?![^.?]*\?)",
        "name the object that acts: the task, the poller, Stitch",
    ),
    # Logs contain lines and responses have a status, but logs and responses do not speak. "Tell Airflow ..."
    # is an instruction, and is allowed.
    _habit(
        "things that `tell`",
        r"\b(?:[Tt]old|[Tt]ells?|[Tt]elling)\b(?! (?:Airflow|Stitch)\b)",
        "contains, returns, reports, records, logs",
    ),
    # Long relative clauses force a reader to go back to the noun. Two shorter sentences are easier to read.
    _habit(
        "`of which`, `whose`",
        r"\b(?:about|at|by|for|from|in|of|on|to|with) (?:which|whom)\b|\b[Ww]hose\b",
        "two sentences, or `that`, or `its`",
    ),
    # A sentence like `Of two streams of one name ...` has its topic before its subject.
    _habit("fronted `Of`", rf"{_START}Of (?!course\b)", "if two streams share a name ..."),
    # A sentence like `What fails alone must not ...` has a clause as its subject. Questions with such words
    # are fine.
    _habit(
        "a clause as subject",
        rf"{_START}(?:What|Whatever|Whichever) (?![^.?]*\?)",
        "start with a noun: a request that fails",
    ),
    # Instead of `so many`, state the number. "So long that ..." and "so long as" are ordinary English.
    _habit(
        "`so many`",
        r"\b[Ss]o (?:few|large|long|many|much|often)\b(?! (?:as|that)\b)",
        "this number of, up to n, n seconds",
    ),
    # These adverbs are rare in today's technical English, or add nothing to a sentence.
    _habit(
        "`anew`, `meanwhile`",
        r"\b(?:[Aa]new|[Mm]eanwhile|[Tt]hereby|[Ii]n vain|[Aa]ll the same|[Bb]y (?:itself|themselves)|"
        r"of (?:its|their) own)\b",
        "again, separate, automatically; or leave it out",
    ),
    # Readers mistake the conjunction `for` for a preposition until they reach the verb.
    _habit(
        "`for` as because",
        r"[,;] for (?:it|they|he|she|we|there|this|these|nobody|nothing|otherwise|then|only|such|no \w+)\b"
        r"|[,;] for (?:a|an|each|its|one|our|some|the|their|those) (?:[\w-]+ ){1,2}"
        r"(?:are|can|cannot|do|does|has|have|is|may|must|was|were|will)\b",
        "because",
    ),
    # Instead of `a log that can't be had`, write: a log that is not available.
    _habit("`can be had`", r"\b(?:be|is|are) had\b", "is available, can be read"),
    # A status request is called a poll. "Looks like" and "look up" are ordinary English.
    _habit(
        "`look` for poll",
        r"\b[Ll]ook(?:s|ed|ing)?\b(?! (?:like|up)\b)",
        "poll, check, read, see",
    ),
    # The usual verb for a defect is `fix`.
    _habit("`mend`", r"\b[Mm]end(?:s|ed|ing)?\b", "fix, resolve"),
    # Instead of `the time is that of the job`, repeat the noun or use the possessive.
    _habit("`that of`", r"\b(?:[Tt]hat|[Tt]hose) of\b", "the job's, or repeat the noun"),
    # Phrases such as `a response that is none` or `it is no job` do not say what is wrong.
    _habit(
        "`is none`, `is no`",
        r"\b(?:am|are|be|been|is|was|were) (?:no|none)\b(?! (?:longer|more)\b)",
        "is not a, is missing, has no",
    ),
)


@dataclass(frozen=True)
class Passage:
    """A text for human readers, with its file and line number."""

    path: Path
    line: int
    text: str

    def words(self) -> int:
        return len(self.text.split())

    def hits(self) -> Iterator[tuple[Habit, re.Match[str]]]:
        """Yield each habit that occurs in the passage, with its match."""
        for habit in HABITS:
            for match in habit.pattern.finditer(self.text):
                yield habit, match


@dataclass(frozen=True)
class Area:
    """A part of the project for which `[tool.prose]` defines a common limit."""

    name: str
    paths: tuple[Path, ...]
    limit: float  #: habits per 1,000 words


@dataclass(frozen=True)
class Count:
    """The number of words in an area, and the number of occurrences of each habit."""

    words: int
    habits: Counter[str]

    @property
    def per_thousand(self) -> float:
        return 1000 * sum(self.habits.values()) / max(self.words, 1)


def areas_in(pyproject: Path) -> list[Area]:
    """Return the areas that a pyproject.toml defines, with paths relative to the folder of the file."""
    table: dict[str, dict[str, Any]] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["prose"]
    return [
        Area(name, tuple(pyproject.parent / path for path in entry["paths"]), float(entry["limit"]))
        for name, entry in table.items()
    ]


def count(paths: Iterable[Path]) -> Count:
    """Count words and habits in files and folders."""
    words, habits = 0, Counter[str]()
    for passage in passages(paths):
        words += passage.words()
        habits.update(habit.name for habit, _ in passage.hits())
    return Count(words, habits)


def passages(paths: Iterable[Path]) -> Iterator[Passage]:
    """Yield the passages of all Python modules and Markdown pages in the given files and folders.

    :raises FileNotFoundError: if a path does not exist, so that a renamed folder is not ignored.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist. Fix the path, or the area in [tool.prose].")
        found = sorted([*path.rglob("*.py"), *path.rglob("*.md")]) if path.is_dir() else [path]
        for file in found:
            if not SKIPPED_FOLDERS & set(file.parts):
                yield from _page(file) if file.suffix == ".md" else _module(file)


def _page(path: Path) -> Iterator[Passage]:
    return _paragraphs(path, _lines_outside_blocks(path.read_text(encoding="utf-8")))


def _lines_outside_blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line that is not blank and not in a code block or directive."""
    fence = ""  # the fence of the code block that contains the current line
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(`{3,}|:{3,})", line)
        if mark and (not fence or mark[1] == fence):
            fence = "" if fence else mark[1]
        elif not fence and line.strip():
            yield number, line


def _paragraphs(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[Passage]:
    """Join lines with consecutive numbers into passages, so that sentences are complete."""
    first, texts = 0, list[str]()
    for number, text in lines:
        if texts and number != first + len(texts):
            yield Passage(path, first, _without_code("\n".join(texts)))
            texts = []
        first = first if texts else number
        texts.append(text)
    if texts:
        yield Passage(path, first, _without_code("\n".join(texts)))


def _module(path: Path) -> Iterator[Passage]:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    yield from _docstrings(path, tree)
    yield from _paragraphs(path, _comments(source))
    yield from _messages(path, tree)
    yield from _test_names(path, tree)


def _docstrings(path: Path, tree: ast.Module) -> Iterator[Passage]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield Passage(path, node.body[0].lineno, _without_code(text))


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#: ")


def _messages(path: Path, tree: ast.Module) -> Iterator[Passage]:
    """Yield the strings that may be messages. `{}` replaces each value that an f-string inserts."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            text = "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            text = node.value
        else:
            continue
        if len(text.split()) >= MIN_MESSAGE_WORDS and len(text.splitlines()) <= MAX_MESSAGE_LINES:
            yield Passage(path, node.lineno, _without_code(text))


def _test_names(path: Path, tree: ast.Module) -> Iterator[Passage]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield Passage(path, node.lineno, node.name.removeprefix("test_").replace("_", " ").capitalize())


def _without_code(text: str) -> str:
    return re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", _placeholder, text, flags=re.DOTALL)


def _placeholder(code: re.Match[str]) -> str:
    return "code" + "\n" * code[0].count("\n")


def check(areas: Iterable[Area]) -> list[str]:
    """Print the number of habits in each area, and return a message for each area that exceeds its limit."""
    messages = []
    for area in areas:
        found = count(area.paths)
        most = ", ".join(f"{name} {number}" for name, number in found.habits.most_common(4))
        figures = f"{found.per_thousand:.1f} habits per 1,000 words (limit {area.limit})"
        print(f"{area.name}: {figures}{f': {most}' if most else ''}")
        if found.per_thousand > area.limit:
            paths = " ".join(str(path.relative_to(ROOT)) for path in area.paths if path.is_relative_to(ROOT))
            messages.append(
                f"{area.name} has {figures}. Rewrite the sentences that "
                f"`python -m tools.prose_check --list {paths}` prints; do not raise the limit."
            )
    return messages


def main(arguments: Sequence[str] | None = None, pyproject: Path = ROOT / "pyproject.toml") -> int:
    """Check all areas or list the habits in some files, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", nargs="+", type=Path, metavar="PATH", help="print each habit in PATH")
    options = parser.parse_args(arguments)
    if options.list:
        for passage in passages(options.list):
            for habit, match in passage.hits():
                line = passage.line + passage.text.count("\n", 0, match.start())
                print(f"{passage.path}:{line}: {match[0].strip()!r} ({habit.name}): {habit.instead}")
        return 0
    messages = check(areas_in(pyproject))
    for message in messages:
        print(message, file=sys.stderr)
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main())
