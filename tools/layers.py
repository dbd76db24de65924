"""Draw docs/images/layers.svg, which shows the folders of the package in the order of their imports.

Each folder is above the folders that it imports. Folders side by side do not import each other. To draw the
picture again, run

    python -m tools.layers
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_provider_stitch"
DRAWING = ROOT / "docs" / "images" / "layers.svg"

# Folders to draw with their contents. All other folders are drawn as single boxes.
EXPANDED = ("replication", "connect", "emulator")

# Folders that are drawn beside all others. import-linter forbids imports between these folders and the
# others.
APART = ("emulator",)

WIDTH, MARGIN, GAP, ROW = 800, 12, 6, 26  # pixels
STYLE = """
text { font: 12px sans-serif; fill: #1b2430; text-anchor: middle; }
.title { font-weight: 600; text-anchor: start; }
.layer { fill: #e1e5ea; } .module { fill: #f9e3b4; } .folder { fill: #a9dcb1; }
.note { text-anchor: start; }
@media (prefers-color-scheme: dark) {
  .layer { fill: #9aa4af; } .module { fill: #d9b75f; } .folder { fill: #7fc08a; }
  .note { fill: #d5dae0; }
}
"""


class ImportCycleError(Exception):
    """Some modules import each other, so no order of the modules exists."""


@dataclass(frozen=True)
class Layer:
    """A folder or module, with its contents as rows from top to bottom."""

    name: str
    is_folder: bool
    rows: tuple[tuple[Layer, ...], ...] = ()


def layers(package: Path = PACKAGE, expanded: Iterable[str] = EXPANDED) -> tuple[tuple[Layer, ...], ...]:
    """Return the contents of a package as rows from top to bottom.

    :param expanded: names of the folders to return with their contents.
    :raises ImportCycleError: if folders or modules import each other.
    """
    imports = _imports_by_module(package)
    return tuple(
        tuple(
            Layer(
                name,
                (package / name).is_dir(),
                _rows(package / name, imports, package) if name in expanded else (),
            )
            for name in row
        )
        for row in _ordered(_imports_between_children(package, imports, package))
    )


def levels(package: Path = PACKAGE) -> dict[str, int]:
    """Return the number of rows in each folder of a package, by the folder's dotted name.

    :raises ImportCycleError: if modules or subfolders of a folder import each other.
    """
    imports = _imports_by_module(package)
    folders = [module.parent for module in package.rglob("__init__.py")]
    return {_dotted_name(folder, package): len(_rows(folder, imports, package)) for folder in folders}


def _rows(folder: Path, imports: Mapping[str, set[str]], package: Path) -> tuple[tuple[Layer, ...], ...]:
    return tuple(
        tuple(Layer(name, (folder / name).is_dir()) for name in row)
        for row in _ordered(_imports_between_children(folder, imports, package))
    )


def _imports_by_module(package: Path) -> dict[str, set[str]]:
    """Return the dotted names that each module imports, by the module's dotted name.

    Imports for type checking are included, because readers also follow these imports.
    """
    return {
        _dotted_name(path, package): set(_imported_names(ast.parse(path.read_text(encoding="utf-8"))))
        for path in package.rglob("*.py")
    }


def _dotted_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            # An imported name may be a module.
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _imports_between_children(
    folder: Path, imports: Mapping[str, set[str]], package: Path
) -> dict[str, set[str]]:
    """Return the imports between the modules and subfolders of a folder, by name of the importer."""
    prefix = f"{_dotted_name(folder, package)}."
    names = {
        path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    children = names - {"__init__"}
    of_init = {_child(each, prefix) for each in imports.get(prefix[:-1], ())} & children
    found: dict[str, set[str]] = {name: set() for name in children}
    for module, imported in imports.items():
        if (child := _child(module, prefix)) in children:
            for name in (_child(each, prefix) for each in imported if each.startswith(prefix)):
                # If an imported name is not a module, it is imported from `__init__`.
                found[child] |= {name} if name in children else of_init
            found[child].discard(child)
    return found


def _child(dotted_name: str, prefix: str) -> str:
    """Return the first part of a dotted name after the prefix, or an empty string for another prefix."""
    return dotted_name.removeprefix(prefix).split(".")[0] if dotted_name.startswith(prefix) else ""


def _ordered(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Arrange names in rows, and return the rows from top to bottom.

    Each name is one row above the highest name that it imports.
    """
    in_progress: set[str] = set()

    @cache
    def height(name: str) -> int:
        if name in in_progress:
            raise ImportCycleError(f"{', '.join(sorted(in_progress))}: some of them import each other.")
        in_progress.add(name)
        above = max((height(each) + 1 for each in imports[name]), default=0)
        in_progress.remove(name)
        return above

    top = max(map(height, imports), default=-1)
    return [sorted(name for name in imports if height(name) == level) for level in range(top, -1, -1)]


# --- Drawing --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """A rectangle on the drawing, in pixels."""

    x: float
    y: float
    width: float
    height: float


def drawn(rows: tuple[tuple[Layer, ...], ...]) -> str:
    """Return the drawing."""
    apart = [layer for layer in rows[-1] if layer.name in APART]
    stack = [tuple(layer for layer in row if layer not in apart) for row in rows]
    side = 210.0 if apart else 0.0
    parts = list(_stack(stack, Box(MARGIN, MARGIN, WIDTH - 2 * MARGIN - side, 0)))
    stack_height = _height(stack)
    for layer in apart:
        box = Box(WIDTH - MARGIN - side + GAP, MARGIN, side - GAP, _layer_height(layer))
        parts += _layer(layer, box)
    height = MARGIN + max(stack_height, *(_layer_height(layer) for layer in apart), 0)
    notes = ["Each box imports only boxes below it. Green boxes are folders, yellow boxes are modules."]
    notes += [f"No import leads into or out of {layer.name}." for layer in apart]
    for line, note in enumerate(notes):
        parts.append(
            f'<text class="note" x="{MARGIN}" y="{height + 18 * (line + 1):g}">{escape(note)}</text>'
        )
    height += 18 * len(notes) + MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">'
    title = "<title>The folders of airflow_provider_stitch in the order of their imports</title>"
    return "\n".join([head, title, f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def _stack(rows: Iterable[tuple[Layer, ...]], box: Box) -> Iterator[str]:
    """Draw rows in a box, from top to bottom."""
    y = box.y
    for row in rows:
        height = max(map(_layer_height, row))
        width = (box.width - GAP * (len(row) - 1)) / len(row)
        for number, layer in enumerate(row):
            yield from _layer(layer, Box(box.x + number * (width + GAP), y, width, height))
        y += height + GAP


def _layer(layer: Layer, box: Box) -> Iterator[str]:
    kind = "layer" if layer.rows else "folder" if layer.is_folder else "module"
    yield (
        f'<rect class="{kind}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" '
        'rx="3"/>'
    )
    if layer.rows:
        yield f'<text class="title" x="{box.x + 8:g}" y="{box.y + 17:g}">{escape(layer.name)}</text>'
        yield from _stack(layer.rows, Box(box.x + GAP, box.y + ROW, box.width - 2 * GAP, 0))
    else:
        yield f'<text x="{box.x + box.width / 2:g}" y="{box.y + 17:g}">{escape(layer.name)}</text>'


def _height(rows: Iterable[tuple[Layer, ...]]) -> float:
    return sum(max(map(_layer_height, row)) + GAP for row in rows)


def _layer_height(layer: Layer) -> float:
    return ROW + _height(layer.rows)


def main() -> None:
    """Draw the picture."""
    DRAWING.write_text(drawn(layers()), encoding="utf-8")


if __name__ == "__main__":
    main()
