"""Draw docs/images/timeline.svg, which shows a replication job and the responses of Stitch's API.

This module requests the responses from the emulator every few seconds while the emulator's default job runs.
To draw the picture again, run

    python -m tools.timeline
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_stitch.connect.client import StitchClient
from airflow_provider_stitch.connect.errors import ExtractionLogNotFound
from airflow_provider_stitch.emulator import JobPlan, StitchEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator

DRAWING = Path(__file__).parents[1] / "docs" / "images" / "timeline.svg"
START = datetime(2026, 8, 17, 6, 0, tzinfo=timezone.utc)
STREAMS = {"commits": 120, "issues": 30, "teams": 0}
STEP, LENGTH = 5, 260  # seconds

# Sizes in pixels: the width of the names, the space above the rows, the height of a row, and the width of a
# second.
LEFT, TOP, ROW, SCALE = 130, 12, 34, 2.4
STYLE = """
text { font: 12px sans-serif; fill: #1b2430; }
.name { font-weight: 600; text-anchor: end; }
.mark { text-anchor: middle; }
.no { fill: #e1e5ea; } .yes { fill: #a9dcb1; } .job { fill: #f9e3b4; }
line { stroke: #7b8794; } circle { fill: #7b8794; }
@media (prefers-color-scheme: dark) {
  .name, .mark, .axis { fill: #d5dae0; }
  .no { fill: #9aa4af; } .yes { fill: #7fc08a; } .job { fill: #d9b75f; }
}
"""


@dataclass(frozen=True)
class Snapshot:
    """The responses of the API in a given second of the job."""

    second: int
    listed: bool  #: whether the list of extractions contains the job
    has_log: bool
    loaded: dict[str, float]  #: the second of each stream's last load


@dataclass(frozen=True)
class Row:
    """A row in the drawing, with time spans and with marks at points in time."""

    name: str
    spans: tuple[tuple[float, float, str, str], ...] = ()  #: start, end, text and kind of each time span
    marks: tuple[tuple[float, str], ...] = ()


def watch_a_job() -> tuple[list[Snapshot], dict[str, float]]:
    """Run the emulator's default job. Return all snapshots, and the second of each stream's last batch."""
    with StitchEmulator(speed=1e-9, start=START) as stitch:
        github = stitch.add_source("github", streams=STREAMS)
        stitch.complete_job(github, seconds_ago=3600)
        with StitchClient(stitch.access_token, base_url=stitch.url) as client:
            job = client.start_replication_job(github).job_name
            snapshots = []
            for second in range(0, LENGTH + 1, STEP):
                snapshots.append(_snapshot(client, second, job))
                stitch.advance(STEP)
            log = client.get_extraction_log(job)
    flushed = {name: _second(of.last_batch_at) for name, of in log.streams.items() if of.last_batch_at}
    return snapshots, flushed


def _snapshot(client: StitchClient, second: int, job: str) -> Snapshot:
    listed = any(each.job_name == job for each in client.list_extractions().records)
    try:
        has_log = client.get_extraction_log(job).exit_line is not None
    except ExtractionLogNotFound:
        has_log = False
    loads = client.list_loads().records
    loaded = {
        load.stream_name: _second(load.last_batch_loaded_at) for load in loads if load.last_batch_loaded_at
    }
    return Snapshot(second, listed, has_log, loaded)


def _second(instant: datetime) -> float:
    return (instant - START).total_seconds()


def rows(snapshots: list[Snapshot], flushed: dict[str, float]) -> Iterator[Row]:
    """Yield the rows of the drawing, from top to bottom."""
    plan = JobPlan()
    tap = plan.discovery_seconds + plan.tap_seconds
    listed = next(snapshot.second for snapshot in snapshots if snapshot.listed)
    logged = next(snapshot.second for snapshot in snapshots if snapshot.has_log)
    # The API lists a load after Stitch has attempted it.
    loaded = {name: snapshots[-1].loaded[name] for name in flushed}
    yield Row(
        "the job",
        (
            (0, plan.discovery_seconds, "", "job"),
            (plan.discovery_seconds, tap, "tap reads commits, issues and teams", "job"),
            (tap, tap + plan.target_seconds, "target", "job"),
        ),
    )
    yield Row("last batch", marks=tuple((second, name) for name, second in flushed.items()))
    yield Row("/extractions", _turn(listed, "shows the source's job before", "ours: 0, 0, 0"))
    yield Row("its log", _turn(logged, "not there yet", "rows and batches"))
    for name in STREAMS:
        if name in flushed:
            yield Row(f"/loads {name}", _turn(loaded[name], "last load is before its batch", "after it"))
        else:
            yield Row(f"/loads {name}", ((0, LENGTH, "no rows, so no load: not waited for", "no"),))
    yield Row("finished", marks=((listed, "structure sync, extraction"),))
    yield Row("", marks=((max(loaded.values()), "preparation, loading"),))


def _turn(at: float, before: str, after: str) -> tuple[tuple[float, float, str, str], ...]:
    return ((0, at, before, "no"), (at, LENGTH, after, "yes"))


def drawn(lines: list[Row]) -> str:
    """Return the drawing."""
    height, width = TOP + ROW * (len(lines) + 1), LEFT + LENGTH * SCALE + 12
    parts = [f"<style>{STYLE}</style>"]
    for number, row in enumerate(lines):
        y = TOP + ROW * number
        parts.append(f'<text class="name" x="{LEFT - 10}" y="{y + 18}">{escape(row.name)}</text>')
        for begin, end, text, kind in row.spans:
            x = LEFT + begin * SCALE
            parts.append(
                f'<rect class="{kind}" x="{x:g}" y="{y}" width="{(end - begin) * SCALE - 1:g}" height="26"/>'
            )
            parts.append(f'<text x="{x + 6:g}" y="{y + 18}">{escape(text)}</text>')
        for second, text in row.marks:
            x = LEFT + second * SCALE
            parts.append(f'<circle cx="{x:g}" cy="{y + 4}" r="4"/>')
            parts.append(f'<text class="mark" x="{x:g}" y="{y + 22}">{escape(text)}</text>')
    y = TOP + ROW * len(lines) + 4
    parts.append(f'<line x1="{LEFT}" x2="{LEFT + LENGTH * SCALE:g}" y1="{y}" y2="{y}"/>')
    parts += [
        f'<text class="axis" x="{LEFT + second * SCALE:g}" y="{y + 18}">{second} s</text>'
        for second in range(0, LENGTH, 50)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" role="img">'
    title = "<title>A replication job, and what Stitch's API returns while it runs</title>"
    return "\n".join([head, title, *parts, "</svg>"]) + "\n"


def main() -> None:
    """Draw the picture."""
    DRAWING.parent.mkdir(exist_ok=True)
    DRAWING.write_text(drawn(list(rows(*watch_a_job()))), encoding="utf-8")


if __name__ == "__main__":
    main()
