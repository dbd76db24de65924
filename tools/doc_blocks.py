"""The code blocks of the documentation: README.md, CONTRIBUTING.md and docs/. Tests run them."""

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
    """A fenced block of a page."""

    page: str  #: relative to the root of the checkout: `docs/tutorial/getting-started.md`
    number: int  #: position in the page, counted from 1
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page} {self.number}"

    @property
    def file(self) -> str | None:
        """The path at which a reader saves the block, if its first line is a comment with a path."""
        match = re.match(r"# (\S+\.py)\n", self.code)
        return match[1] if match else None

    @property
    def is_test(self) -> bool:
        return "def test_" in self.code

    @property
    def is_of_airflow(self) -> bool:
        """Whether the block imports Airflow, or a module that imports Airflow."""
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
    """Return the blocks of all pages, or those in one language. Directives of Sphinx are left out."""
    found = [
        Block(str(page.relative_to(ROOT)), number, match["language"].strip(), match["code"])
        for page in PAGES
        for number, match in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")), 1)
    ]
    return [each for each in found if not each.language.startswith("{") and language in (None, each.language)]


def pages_with_commands() -> list[str]:
    """Return the pages that print commands."""
    return sorted({block.page for block in blocks("sh")})


def script(page: str) -> str:
    """Return a Bash script that follows a page: its commands and files, in the printed order.

    A page's `stitch-emulator` is a server. It runs in the background until the script ends, as in another
    terminal. The script ends at the first command that fails.
    """
    steps = [_step(block) for block in blocks() if block.page == page]
    return "\n".join(["set -euo pipefail", *filter(None, steps)])


def _step(block: Block) -> str:
    if block.language == "sh" and block.code.startswith("stitch-emulator"):
        return _SERVER.format(command=block.code.strip())
    if block.language == "sh":
        return block.code
    if block.file is not None:
        return _FILE.format(path=block.file, code=block.code)
    return ""


_FILE = """
mkdir -p "$(dirname {path})"
cat > {path} <<'END_OF_FILE'
{code}END_OF_FILE
"""
_SERVER = """
emulator_output="$(mktemp)"
{command} > "$emulator_output" &
trap "kill $!; rm '$emulator_output'" EXIT
until grep --silent '"url"' "$emulator_output"; do kill -0 $!; sleep 0.1; done
cat "$emulator_output"
"""
