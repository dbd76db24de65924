"""Parsing of scenario files in YAML or TOML."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUFFIXES = ".yaml, .yml or .toml"


class ScenarioError(ValueError):
    """Raised when a scenario file cannot be read or is invalid.

    :param path: the path of the file.
    :param problems: one message for each problem. Each message begins with the key of the invalid value.
    """

    def __init__(self, path: str | Path, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        number = "is" if len(problems) == 1 else f"has {len(problems)} problems and is"
        super().__init__(
            f"The scenario {path} {number} invalid:\n" + "\n".join(f"  {each}" for each in problems)
        )


def read_file(path: str | Path) -> Any:
    """Return the parsed content of a scenario file. The suffix of the file name determines the format.

    :raises ScenarioError: if the file cannot be read, or is not valid YAML or TOML.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".yaml", ".yml", ".toml"):
        raise ScenarioError(path, [f"the file: its name must end with {_SUFFIXES}."])
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ScenarioError(path, [f"the file: cannot be read: {error.strerror}."]) from error
    except UnicodeDecodeError as error:
        raise ScenarioError(path, ["the file: is not UTF-8."]) from error
    try:
        content = tomllib.loads(text) if suffix == ".toml" else _parse_yaml(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        language = "TOML" if suffix == ".toml" else "YAML"
        raise ScenarioError(
            path, [f"the file: is not valid {language}: {' '.join(str(error).split())}"]
        ) from error
    return {} if content is None else content


def _parse_yaml(text: str) -> Any:
    """Parse YAML and reject duplicate keys, because PyYAML silently uses only the last value of a key."""
    nodes, seen = [yaml.compose(text, yaml.SafeLoader)], set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
            continue
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, key in enumerate(keys):
            if key.value in [earlier.value for earlier in keys[:number]]:
                raise ValueError(f"line {key.start_mark.line + 1} contains the duplicate key {key.value!r}")
        nodes += [value for _, value in node.value]
    return yaml.safe_load(text)
