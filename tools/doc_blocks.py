"""The code blocks in README.md, CONTRIBUTING.md and docs/, which are run by tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
    ]
)

_BLOCK = re.compile(
    r"^(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced code block in a page."""

    page: str  #: path relative to the root of the checkout, such as `docs/tutorial/getting-started.md`
    number: int  #: position of the block in the page; the first block has number 1
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page} {self.number}"

    @property
    def file(self) -> str | None:
        """The path to which a reader saves the block, if the first line is a comment with this path."""
        match = re.match(r"# (\S+\.py)\n", self.code)
        return match[1] if match else None

    @property
    def is_test(self) -> bool:
        return "def test_" in self.code

    @property
    def is_of_airflow(self) -> bool:
        """Whether the block imports Airflow or any module that imports Airflow."""
        return bool(
            re.search(
                r"^(from|import) "
                r"(airflow\.|airflow_provider_stitch\.(assets|hooks|operators|sensors|triggers))",
                self.code,
                re.MULTILINE,
            )
        )

    @property
    def is_dag(self) -> bool:
        return self.is_of_airflow and "DAG(" in self.code and not self.is_test


def blocks(language: str | None = None) -> list[Block]:
    """Return the code blocks of all pages, or only the blocks in one language.

    Sphinx directives are not included.
    """
    found = [
        Block(str(page.relative_to(ROOT)), number, match["language"].strip(), match["code"])
        for page in PAGES
        for number, match in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")), 1)
    ]
    return [each for each in found if not each.language.startswith("{") and language in (None, each.language)]


def pages_with_commands() -> list[str]:
    """Return the pages that contain commands."""
    return sorted({block.page for block in blocks("sh")})


def script(page: str) -> str:
    """Return a Bash script that runs the commands and writes the files in a page, in the order of the page.
    The command `stitch-emulator` starts a server, and must be the last command in its block. The script runs
    the server in the background, and stops the server at the end. The script ends at the first command that
    fails.
    """
    steps = [_step(block) for block in blocks() if block.page == page]
    return "\n".join([_START, *filter(None, steps)])


def _step(block: Block) -> str:
    if block.language == "sh":
        *lines, last = block.code.strip().splitlines()
        is_server = last.startswith("stitch-emulator")
        return "\n".join([*lines, _SERVER.format(command=last) if is_server else last])
    if block.file is not None:
        return _FILE.format(path=block.file, code=block.code)
    return ""


_START = """set -euo pipefail
servers=()
trap '[ ${#servers[@]} -eq 0 ] || kill "${servers[@]}"' EXIT"""
_FILE = """
mkdir -p "$(dirname {path})"
cat > {path} <<'END_OF_FILE'
{code}END_OF_FILE
"""
_SERVER = """
emulator_output="$(mktemp)"
{command} > "$emulator_output" &
servers+=($!)
until grep --silent '"url"' "$emulator_output"; do kill -0 $!; sleep 0.1; done
cat "$emulator_output"
rm "$emulator_output"
"""
