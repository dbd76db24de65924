"""Draw plots of the benchmarks' results for the documentation, as SVG files.

Each function in PLOTS draws the results of one benchmark. The captions contain the machine and the versions
of packages.
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
    """Draw the CPU time that a DAG file needs to import the operators of each provider."""
    subjects = list(figures)[::-1]  # matplotlib draws bars from bottom to top
    for offset, state, alpha in ((0.2, "cached", 1.0), (-0.2, "uncached", 0.45)):
        minima = [min(figures[subject][state]) * 1000 for subject in subjects]
        colours = [OURS if subject.startswith("Stitch") else OTHERS for subject in subjects]
        positions = [number + offset for number in range(len(subjects))]
        bars = axes.barh(positions, minima, height=0.36, color=colours, alpha=alpha)
        axes.bar_label(bars, [f"{value:.3g} ms" for value in minima], padding=4, fontsize=9)
    axes.set_yticks(range(len(subjects)), subjects)
    axes.margins(x=0.12)
    axes.set_xlabel("CPU time per parse (ms), minimum of all runs; lighter: without cached bytecode")
    axes.set_title("What importing a provider's operators adds to a DAG file", loc="left")


def simulation(axes: Axes, figures: Mapping[str, Any]) -> None:
    """Draw the delays of waiting tasks, with the provider's scheduler and with the best fixed schedule."""
    rows = figures["rows"][::-1]
    for mean, p95, name, colour, offset in (
        ("mean", "p95", "this provider", OURS, 0.16),
        ("best_mean", "best_p95", "the best fixed schedule", OTHERS, -0.16),
    ):
        positions = [number + offset for number in range(len(rows))]
        # Draw points and lines instead of bars, because bars start at zero, and a logarithmic scale has no
        # zero.
        means, percentiles = [row[mean] for row in rows], [row[p95] for row in rows]
        axes.hlines(positions, means, percentiles, colors=colour, linewidth=2)
        axes.plot(means, positions, "o", color=colour, label=name)
        for position, row in zip(positions, rows, strict=True):
            axes.annotate(
                f"{row[mean]:.0f} s, {row[p95]:.0f} s",
                (row[p95], position),
                xytext=(6, -3),
                textcoords="offset points",
                fontsize=8,
            )
    axes.set_yticks(range(len(rows)), [_case_name(row["case"]) for row in rows])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.14)
    axes.set_xlabel("seconds from the end of the phase until the task detects it: mean, 95 % (simulated)")
    axes.set_title("Delay of a waiting task, within 30 requests per 10 minutes", loc="left")
    axes.legend(frameon=False)


def _case_name(case: Mapping[str, Any]) -> str:
    plural = "source" if case["sources"] == 1 else "sources"
    return f"{case['phase']}, {case['sources']:,} {plural}"


def waiting(axes: Axes, figures: Mapping[str, Any]) -> None:
    """Draw how long waiting tasks of each provider block the event loop, and the memory per task."""
    providers = figures["providers"][::-1]
    milliseconds = [max(1.0, each["blocked"] * 1000) for each in providers]
    colours = [OURS if each["name"] == "Stitch" else OTHERS for each in providers]
    bars = axes.barh(range(len(providers)), milliseconds, height=0.6, color=colours)
    labels = [
        f"{value:,.0f} ms, {each['memory_per_task'] / 1000:,.0f} kB per task"
        for value, each in zip(milliseconds, providers, strict=True)
    ]
    axes.bar_label(bars, labels, padding=4, fontsize=9)
    axes.set_yticks(range(len(providers)), [each["name"].partition(":")[0] for each in providers])
    axes.set_xscale("log")
    axes.margins(x=0.4)
    axes.set_xlabel("longest time during which the triggerer's event loop was blocked (ms); memory per task")
    axes.set_title(f"{providers[0]['count']} tasks of each provider wait in one triggerer", loc="left")


PLOTS: Mapping[str, Callable[[Axes, Mapping[str, Any]], None]] = {
    "parse_cost": parse_cost,
    "simulation": simulation,
    "waiting": waiting,
}


def draw(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw all available plots, and return the paths of the SVG files.

    :param results: the content of the file that `python -m benchmarks --json` writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stitch", "font.size": 10}):
        for name in PLOTS.keys() & results.keys():
            figure = Figure(figsize=(8, 4.6), layout="constrained")
            axes = figure.add_subplot()
            axes.spines[["top", "right"]].set_visible(False)
            PLOTS[name](axes, results[name])
            caption = "\n".join(textwrap.wrap(f"{results['machine']}. {results['versions']}.", 130))
            figure.supxlabel(caption, fontsize=6.5, color="#55606c", x=0.01, ha="left")
            written.append(folder / f"{name}.svg")
            # Omit the date, so that equal figures produce equal files.
            figure.savefig(written[-1], metadata={"Date": None})
    return written
