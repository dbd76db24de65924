"""Test the assets of sources and streams with the installed Airflow."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_stitch.assets import stitch_source, stitch_stream
from airflow_provider_stitch.common.asset_uris import sanitize_uri

HARD_NAMES = [
    "Pull Requests",
    "a/b",
    "a%2Fb",
    "50%",
    "#1",
    "a?b=c",
    "..",
    "@x:y",
    "größe",
    "\ud800",
    " ",
    "[x",
]
NAMES = st.text(alphabet=st.characters(), min_size=1, max_size=40)


def test_uri_consists_of_connection_source_and_stream():
    assert stitch_source("github").uri == "stitch://stitch_default/github"
    assert stitch_stream("github", "commits").uri == "stitch://stitch_default/github/commits"
    assert stitch_stream("a", "b", stitch_conn_id="Tenant-1").uri == "stitch://Tenant-1/a/b"


def test_name_of_an_asset_is_its_uri():
    asset = stitch_stream("github", "Pull Requests")

    assert asset.uri == "stitch://stitch_default/github/Pull%20Requests"
    assert getattr(asset, "name", asset.uri) == asset.uri  # in Airflow 2, an asset has a URI but no name


@given(source=NAMES, stream=NAMES)
@example(source="a/b", stream="c")
def test_every_name_results_in_a_unique_valid_uri(source: str, stream: str):
    uri = stitch_stream(source, stream).uri

    assert uri.isascii()
    assert Asset(uri=uri).uri == uri
    assert sanitize_uri(urlsplit(uri)).geturl() == uri
    assert len(urlsplit(uri).path.split("/")) == 3
    assert uri != stitch_source(f"{source}/{stream}").uri


@pytest.mark.parametrize("name", HARD_NAMES)
def test_unusual_names_result_in_distinct_assets(name: str):
    same_stream = [stitch_stream("github", other).uri for other in HARD_NAMES]
    same_source = [stitch_source(other).uri for other in HARD_NAMES]
    same_connection = [stitch_source("a", stitch_conn_id=other).uri for other in HARD_NAMES]

    assert same_stream.count(stitch_stream("github", name).uri) == 1
    assert same_source.count(stitch_source(name).uri) == 1
    assert same_connection.count(stitch_source("a", stitch_conn_id=name).uri) == 1


def test_airflow_normalizes_uris_that_are_written_by_hand():
    assert Asset(uri="STITCH://stitch_default/github/Pull Requests/").uri == (
        stitch_stream("github", "Pull Requests").uri
    )


@pytest.mark.parametrize(
    "uri", ["stitch://stitch_default", "stitch://c/a/b/c", "stitch:///github", "stitch://c//b"]
)
def test_uris_of_another_form_are_refused_with_advice(uri: str):
    with pytest.raises(ValueError, match=r"<connection id>/<source>/<stream>, but it is .*stitch_stream\(\)"):
        sanitize_uri(urlsplit(uri))


@pytest.mark.parametrize("name", ["", None, 310442])
def test_names_must_be_strings_that_are_not_empty(name):
    with pytest.raises(ValueError, match=r"source must be a non-empty string; it was"):
        stitch_source(name)
    with pytest.raises(ValueError, match=r"stream must be a non-empty string; it was"):
        stitch_stream("github", name)
    with pytest.raises(ValueError, match=r"stitch_conn_id must be a non-empty string; it was"):
        stitch_source("github", stitch_conn_id=name)
