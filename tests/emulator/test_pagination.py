"""Test pages of extractions and loads.

A page contains 100 records, and relative links to other pages. The list can change between the requests for
two pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


def add_sources(stitch: StitchEmulator, number: int) -> None:
    """Add sources that each have one completed job and one loaded stream."""
    for index in range(number):
        stitch.complete_job(
            stitch.add_source(f"source_{index:03}", streams={f"stream_{number - index:03}": 1})
        )


def read_all_pages(api: Api, path: str) -> list[dict[str, Any]]:
    """Return all pages of a list by following the links from the first page."""
    pages = []
    next_path: str | None = path
    while next_path:
        pages.append(api.get(next_path))
        next_path = pages[-1]["links"].get("next")
    return pages


@pytest.mark.parametrize("list_name", ["extractions", "loads"])
def test_250_records_are_three_pages(api: Api, stitch: StitchEmulator, list_name: str) -> None:
    add_sources(stitch, 250)
    path = f"/v4/104857/{list_name}"
    first, second, third = read_all_pages(api, path)
    assert [len(page["data"]) for page in (first, second, third)] == [100, 100, 50]
    assert [(page["page"], page["total"]) for page in (first, second, third)] == [
        (1, 250),
        (2, 250),
        (3, 250),
    ]
    assert first["links"] == {"next": f"{path}?page=2"}
    assert second["links"] == {"next": f"{path}?page=3", "previous": f"{path}?page=1"}
    assert third["links"] == {"previous": f"{path}?page=2"}
    key = "source_id" if list_name == "extractions" else "stream_name"
    keys = [record[key] for page in (first, second, third) for record in page["data"]]
    assert keys == sorted(keys)
    assert len(set(keys)) == 250


@pytest.mark.parametrize(
    ("total", "links"),
    [
        pytest.param(100, {}, id="100 records have no links"),
        pytest.param(101, {"next": "/v4/104857/extractions?page=2"}, id="101 records have a next page"),
    ],
)
def test_links_exist_from_101_records(
    api: Api, stitch: StitchEmulator, total: int, links: dict[str, str]
) -> None:
    add_sources(stitch, total)
    page = api.get("/v4/104857/extractions")
    assert (page["total"], len(page["data"]), page["links"]) == (total, 100, links)


@pytest.mark.parametrize(
    ("query", "number", "records"),
    [
        pytest.param("?page=2", 2, 1, id="second"),
        pytest.param("?page=9", 9, 0, id="beyond the last"),
        pytest.param("?page=0", 1, 100, id="zero"),
        pytest.param("?page=x", 1, 100, id="not a number"),
        pytest.param("?per_page=7", 1, 100, id="unknown parameter"),
    ],
)
def test_page_parameter_selects_the_page(
    api: Api, stitch: StitchEmulator, query: str, number: int, records: int
) -> None:
    add_sources(stitch, 101)
    page = api.get(f"/v4/104857/extractions{query}")
    assert (page["page"], len(page["data"])) == (number, records)


def test_records_move_between_pages_while_they_are_read(api: Api, stitch: StitchEmulator) -> None:
    for source_id in range(1000, 1150):
        stitch.add_source(f"source_{source_id}", streams={"a": 1}, source_id=source_id)
        if source_id != 1000:
            stitch.complete_job(source_id)
    first = api.get("/v4/104857/extractions?page=1")
    stitch.complete_job(1000)
    second = api.get("/v4/104857/extractions?page=2")
    assert first["data"][-1] == second["data"][0]
    assert (first["total"], second["total"]) == (149, 150)


def test_sources_are_listed_without_pages(api: Api, stitch: StitchEmulator) -> None:
    add_sources(stitch, 250)
    assert len(api.get("/v4/sources")) == 250
