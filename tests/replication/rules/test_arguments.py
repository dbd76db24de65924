"""Test arguments that Jinja renders from templates with and without `render_template_as_native_obj`."""

from __future__ import annotations

import pytest

from airflow_provider_stitch.replication.rules.arguments import is_template, parse_choice, parse_streams


@pytest.mark.parametrize(
    ("value", "streams"),
    [
        pytest.param(["commits", "issues"], ("commits", "issues"), id="a list"),
        pytest.param("commits", ("commits",), id="one name"),
        pytest.param("commits, issues", ("commits", "issues"), id="names separated by commas"),
        pytest.param('["commits", "issues"]', ("commits", "issues"), id="a list in JSON"),
        pytest.param("['commits', 'it\\'s']", ("commits", "it's"), id="a list that Jinja rendered"),
        pytest.param("('commits',)", ("commits",), id="a tuple that Jinja rendered"),
        pytest.param("{'commits': {'rows': None}}", ("commits",), id="`streams` of an XCom, rendered"),
        pytest.param({"commits": {"rows": 1}}, ("commits",), id="`streams` of an XCom"),
        pytest.param(2024, ("2024",), id="a name that a native template renders as a number"),
        pytest.param((2024, "commits"), ("2024", "commits"), id="a number in a list"),
        pytest.param("", None, id="an empty string"),
        pytest.param("None", None, id="None that Jinja rendered"),
        pytest.param(" null ", None, id="None in JSON"),
        pytest.param(None, None, id="None"),
        pytest.param([], (), id="an empty list"),
    ],
)
def test_parse_streams_accepts_all_that_a_template_may_render(value, streams):
    assert parse_streams(value) == streams


@pytest.mark.parametrize(
    "value", [["commits", ""], ["commits", None], "commits,,issues", "[commits", 1.5, True]
)
def test_parse_streams_rejects_anything_else_and_repeats_it(value):
    with pytest.raises(ValueError, match="streams must be a list of stream names") as error:
        parse_streams(value)

    assert str(error.value).endswith(f"it was {value!r}.")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("{{ params.streams }}", True, id="expression"),
        pytest.param("{% if a %}b{% endif %}", True, id="block"),
        pytest.param(["commits", "{{ a }}"], True, id="template in a list"),
        pytest.param("commits", False, id="plain string"),
        pytest.param(["commits"], False, id="plain list"),
        pytest.param(3600, False, id="number"),
        pytest.param(None, False, id="None"),
    ],
)
def test_is_template_distinguishes_templates_from_values(value, expected):
    assert is_template(value) is expected


def test_parse_choice_accepts_none_only_if_it_is_optional():
    assert parse_choice(" loading ", "wait_for", ["loading"]) == "loading"
    assert parse_choice("None", "wait_for", ["loading"], optional=True) is None
    with pytest.raises(ValueError, match="wait_for must be one of loading, or None; it was 'done'"):
        parse_choice("done", "wait_for", ["loading"], optional=True)
    with pytest.raises(ValueError, match="if_running must be one of join; it was None"):
        parse_choice(None, "if_running", ["join"])
