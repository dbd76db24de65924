"""Test that the prose check reports each bad habit, accepts ordinary English, and enforces limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import prose_check

# The check does not treat strings with fewer than four words as messages. Therefore, the check does not
# report the strings in this list.
FOUND = [
    ("a person for a thing", "Whoever sends it"),
    ("a person for a thing", "all who wait"),
    ("a person for a thing", "Who comes late"),
    ("things that `tell`", "The log tells"),
    ("`of which`, `whose`", "source whose job"),
    ("`of which`, `whose`", "page at\nwhich"),
    ("fronted `Of`", "Stop. Of two"),
    ("a clause as subject", "What fails alone"),
    ("`so many`", "so many seconds"),
    ("`anew`, `meanwhile`", "Read it anew"),
    ("`for` as because", "waits, for it"),
    ("`for` as because", "waits, for\na request is running"),
    ("`can be had`", "can be had"),
    ("`look` for poll", "Look at loads"),
    ("`mend`", "may mend it"),
    ("`that of`", "is that of"),
    ("`is none`, `is no`", "response is none"),
]

ORDINARY = [
    "Users who need a token create one in Stitch.",
    "Who starts the job?",
    "What happens if the response is lost?",
    "Of course the job keeps running.",
    "The list is so long that it has many pages, and stays so as long as the account exists.",
    "Wait for the job, for example for a minute, and, for a failed job, read its log.",
    "The error looks like a timeout. Look up the source.",
    "The job is no longer listed.",
    "Only a worker can tell Airflow not to retry the task.",
    "The old words `told`, `anew` and ``a look at `whose` `` are code here.",
]


def habits_in(path: Path) -> list[str]:
    return [habit.name for passage in prose_check.passages([path]) for habit, _ in passage.hits()]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return tmp_path / "module.py"


@pytest.mark.parametrize(("habit", "text"), FOUND)
def test_habit_is_found(page: Path, habit: str, text: str) -> None:
    page.write_text(text)

    assert habits_in(page) == [habit]


def test_every_habit_has_an_example() -> None:
    assert {habit.name for habit in prose_check.HABITS} == {name for name, _ in FOUND}


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_english_has_no_habits(page: Path, text: str) -> None:
    page.write_text(text)

    assert habits_in(page) == []


@pytest.mark.parametrize(
    "code",
    [
        pytest.param('"""Read it anew."""\n', id="docstring of a module"),
        pytest.param('def read():\n    """Read it anew."""\n', id="docstring of a function"),
        pytest.param("#read it\n#anew\n", id="comment"),
        pytest.param("size = 3  #:anew\n", id="comment after code"),
        pytest.param('raise ValueError(f"Source {name} is read anew.")\n', id="message"),
        pytest.param('log.info("Reading source %s "\n         "anew.", name)\n', id="message on two lines"),
        pytest.param("def test_page_is_read_anew(): ...\n", id="test name"),
    ],
)
def test_habit_is_found_in_every_kind_of_text(module: Path, code: str) -> None:
    module.write_text(code)

    assert habits_in(module) == ["`anew`, `meanwhile`"]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("anew = 1\n", id="name"),
        pytest.param('key = "anew"\n', id="short string"),
        pytest.param('script = """\nread\nthe page\nanew\n"""\n', id="script"),
        pytest.param("def read_anew(): ...\n", id="name of a function that is not a test"),
    ],
)
def test_code_is_not_prose(module: Path, code: str) -> None:
    module.write_text(code)

    assert habits_in(module) == []


def test_code_blocks_and_directives_of_a_page_are_skipped(page: Path) -> None:
    page.write_text("```python\nread = 'anew'\n```\n:::{note}\nmeanwhile\n:::\n- Read\n  it anew.\n")

    (passage,) = prose_check.passages([page])

    assert (passage.line, passage.text) == (7, "- Read\n  it anew.")


def test_list_prints_place_and_suggestion(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page.write_text("Read the page.\nThen mend it.\n")

    assert prose_check.main(["--list", str(page)]) == 0

    assert capsys.readouterr().out == f"{page}:2: 'mend' (`mend`): fix, resolve\n"


@pytest.mark.parametrize(("limit", "status"), [(100.0, 0), (99.9, 1)])
def test_area_fails_above_its_limit(
    tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str], limit: float, status: int
) -> None:
    page.write_text("Read the page anew, because a response of Stitch changed.\n")  # 10 words
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(f'[tool.prose]\npages = {{ paths = ["page.md"], limit = {limit} }}\n')

    assert prose_check.main([], pyproject) == status

    assert capsys.readouterr().err.startswith("pages has 100.0 habits per 1,000 words" if status else "")


def test_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone does not exist"):
        prose_check.count([tmp_path / "gone"])


def test_every_folder_with_prose_is_in_an_area() -> None:
    areas = prose_check.areas_in(prose_check.ROOT / "pyproject.toml")
    checked = {path.relative_to(prose_check.ROOT).parts[0] for area in areas for path in area.paths}
    tracked = {path.name for path in prose_check.ROOT.iterdir() if (path / "__init__.py").exists()}

    assert tracked - checked == set()
