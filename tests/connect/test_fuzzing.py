"""Whatever bytes come in, nothing but a StitchError leaves `connect`, and its text is fit to be seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import fuzzing

names = pytest.mark.parametrize("name", fuzzing.ENTRY_POINTS)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
any_json = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@names
def test_what_the_samples_hold_is_read(name):
    for seed in fuzzing.seeds(name):
        fuzzing.ENTRY_POINTS[name](seed)


@names
@given(data=st.binary(max_size=400))
def test_any_bytes(name, data):
    fuzzing.ENTRY_POINTS[name](data)


@names
@given(draw=st.data())
def test_bytes_that_are_almost_right(name, draw):
    data = bytearray(draw.draw(st.sampled_from(fuzzing.seeds(name))))
    for at in draw.draw(st.lists(st.integers(0, len(data)), max_size=4)):
        data[at : at + draw.draw(st.integers(0, 8))] = draw.draw(st.binary(max_size=8))
    fuzzing.ENTRY_POINTS[name](bytes(data))


JSON_SEEDS = [(seed[:3], seed[3:]) for seed in fuzzing.seeds("answer") if seed[3:4] in (b"{", b"[")]


@given(draw=st.data(), seed=st.sampled_from(JSON_SEEDS), status=st.sampled_from([0, 1, 3]))
@settings(max_examples=2 * settings.default.max_examples)
def test_json_in_which_something_is_of_another_kind(draw, seed, status):
    head, body = seed
    changed = _with_a_change(draw, json.loads(body))
    fuzzing.answer(bytes([head[0], status, 0]) + json.dumps(changed).encode())


def _with_a_change(draw: Any, value: Any) -> Any:
    """Replace some value in it, or leave one out."""
    inner = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        inner = list(range(len(value)))
    if not inner or draw.draw(st.integers(0, 4)) == 0:
        return draw.draw(any_json)
    key = draw.draw(st.sampled_from(inner))
    if draw.draw(st.integers(0, 5)) == 0:
        del value[key]
    else:
        value[key] = _with_a_change(draw, value[key])
    return value
