"""Drawings of what benchmarks have found, for the documentation: SVG, with machine and versions under each.

A further one is a function in PLOTS, under the name of its benchmark: it draws that one's figures.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

OURS, OTHERS = "#c8501e", "#7b8794"


def parse_cost(axes: Axes, figures: Mapping[str, Any]) -> None:
    """Draw the CPU time that each provider's operators add to a DAG file, compiled and not."""
    subjects = list(figures)[::-1]  # bars are drawn from the bottom
    for offset, state, alpha in ((0.2, "compiled", 1.0), (-0.2, "uncompiled", 0.45)):
        least = [min(figures[subject][state]) * 1000 for subject in subjects]
        colours = [OURS if subject.startswith("Stitch") else OTHERS for subject in subjects]
        places = [number + offset for number in range(len(subjects))]
        bars = axes.barh(places, least, height=0.36, color=colours, alpha=alpha)
        axes.bar_label(bars, [f"{value:.3g} ms" for value in least], padding=4, fontsize=9)
    axes.set_yticks(range(len(subjects)), subjects)
    axes.margins(x=0.12)
    axes.set_xlabel("CPU time at each parse (ms), the least of the runs; paler: without compiled files")
    axes.set_title("What importing a provider's operators adds to a DAG file", loc="left")


def simulation(axes: Axes, figures: Mapping[str, Any]) -> None:
    """Draw how late a waiting task knows of an end, beside the best schedule of fixed pauses."""
    rows = figures["rows"][::-1]
    for mean, p95, name, colour, offset in (
        ("mean", "p95", "this provider", OURS, 0.16),
        ("best_mean", "best_p95", "the best fixed schedule", OTHERS, -0.16),
    ):
        places = [number + offset for number in range(len(rows))]
        # Points and lines: on a scale without a zero the length of a bar would say nothing.
        means, mosts = [row[mean] for row in rows], [row[p95] for row in rows]
        axes.hlines(places, means, mosts, colors=colour, linewidth=2)
        axes.plot(means, places, "o", color=colour, label=name)
        for place, row in zip(places, rows, strict=True):
            axes.annotate(
                f"{row[mean]:.0f} s, {row[p95]:.0f} s",
                (row[p95], place),
                xytext=(6, -3),
                textcoords="offset points",
                fontsize=8,
            )
    axes.set_yticks(range(len(rows)), [_name(row["case"]) for row in rows])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.14)
    axes.set_xlabel("seconds from the end of the phase until the task knows: mean, 95 % (simulated)")
    axes.set_title("How late a waiting task knows, within 30 requests in 10 minutes", loc="left")
    axes.legend(frameon=False)


def _name(case: Mapping[str, Any]) -> str:
    plural = "source" if case["sources"] == 1 else "sources"
    return f"{case['phase']}, {case['sources']:,} {plural}"


def waiting(axes: Axes, figures: Mapping[str, Any]) -> None:
    """Draw for how long each provider's waiting tasks hold the triggerer's event loop, and their memory."""
    few = figures["few"][::-1]
    milliseconds = [max(1.0, each["blocked"] * 1000) for each in few]
    colours = [OURS if each["name"] == "Stitch" else OTHERS for each in few]
    bars = axes.barh(range(len(few)), milliseconds, height=0.6, color=colours)
    labels = [
        f"{value:,.0f} ms, {each['memory_of_task'] / 1000:,.0f} kB a task"
        for value, each in zip(milliseconds, few, strict=True)
    ]
    axes.bar_label(bars, labels, padding=4, fontsize=9)
    axes.set_yticks(range(len(few)), [each["name"].partition(":")[0] for each in few])
    axes.set_xscale("log")
    axes.margins(x=0.4)
    axes.set_xlabel("longest time in which the triggerer's event loop was blocked (ms); memory of each task")
    axes.set_title(f"{few[0]['count']} tasks of each provider wait in one triggerer", loc="left")


PLOTS: Mapping[str, Callable[[Axes, Mapping[str, Any]], None]] = {
    "parse_cost": parse_cost,
    "simulation": simulation,
    "waiting": waiting,
}


def draw(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw what there are figures of, as `python -m benchmarks --json` writes them; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stitch", "font.size": 10}):
        for name in PLOTS.keys() & results.keys():
            figure = Figure(figsize=(8, 4.6), layout="constrained")
            axes = figure.add_subplot()
            axes.spines[["top", "right"]].set_visible(False)
            PLOTS[name](axes, results[name])
            under = "\n".join(textwrap.wrap(f"{results['machine']}. {results['versions']}.", 130))
            figure.supxlabel(under, fontsize=6.5, color="#55606c", x=0.01, ha="left")
            written.append(folder / f"{name}.svg")
            # Without the date, so that the same figures make the same file.
            figure.savefig(written[-1], metadata={"Date": None})
    return written
