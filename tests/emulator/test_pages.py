"""Pages of extractions and loads: 100 records, relative links, no snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_stitch.emulator import StitchEmulator

    from .conftest import Api


def fill(stitch: StitchEmulator, number: int) -> None:
    """So many sources, each with one job that has run and one stream that is loaded."""
    for index in range(number):
        stitch.complete_job(
            stitch.add_source(f"source_{index:03}", streams={f"stream_{number - index:03}": 1})
        )


def sweep(api: Api, path: str) -> list[dict[str, Any]]:
    """All pages, as their links lead."""
    pages = []
    following: str | None = path
    while following:
        pages.append(api.get(following))
        following = pages[-1]["links"].get("next")
    return pages


@pytest.mark.parametrize("what", ["extractions", "loads"])
def test_250_records_are_three_pages(api: Api, stitch: StitchEmulator, what: str) -> None:
    fill(stitch, 250)
    path = f"/v4/104857/{what}"
    first, second, third = sweep(api, path)
    assert [len(page["data"]) for page in (first, second, third)] == [100, 100, 50]
    assert [(page["page"], page["total"]) for page in (first, second, third)] == [
        (1, 250),
        (2, 250),
        (3, 250),
    ]
    assert first["links"] == {"next": f"{path}?page=2"}
    assert second["links"] == {"next": f"{path}?page=3", "previous": f"{path}?page=1"}
    assert third["links"] == {"previous": f"{path}?page=2"}
    key = "source_id" if what == "extractions" else "stream_name"
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
def test_links_begin_at_101_records(
    api: Api, stitch: StitchEmulator, total: int, links: dict[str, str]
) -> None:
    fill(stitch, total)
    page = api.get("/v4/104857/extractions")
    assert (page["total"], len(page["data"]), page["links"]) == (total, 100, links)


@pytest.mark.parametrize(
    ("query", "number", "records"),
    [
        pytest.param("?page=2", 2, 1, id="second"),
        pytest.param("?page=9", 9, 0, id="beyond the last"),
        pytest.param("?page=0", 1, 100, id="zero"),
        pytest.param("?page=x", 1, 100, id="no number"),
        pytest.param("?per_page=7", 1, 100, id="unknown parameter"),
    ],
)
def test_a_page_is_chosen_by_its_number(
    api: Api, stitch: StitchEmulator, query: str, number: int, records: int
) -> None:
    fill(stitch, 101)
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


def test_sources_come_whole_and_unpaged(api: Api, stitch: StitchEmulator) -> None:
    fill(stitch, 250)
    assert len(api.get("/v4/sources")) == 250
