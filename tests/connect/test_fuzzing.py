"""Test that arbitrary input causes no exceptions other than StitchErrors.

The error messages must be printable and must not contain a secret.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import fuzz_targets

names = pytest.mark.parametrize("name", fuzz_targets.ENTRY_POINTS)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
any_json = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@names
def test_seeds_are_accepted(name):
    for seed in fuzz_targets.seeds(name):
        fuzz_targets.ENTRY_POINTS[name](seed)


@names
@given(data=st.binary(max_size=400))
@settings(max_examples=100)
def test_arbitrary_bytes_raise_only_stitch_errors(name, data):
    fuzz_targets.ENTRY_POINTS[name](data)


@names
@given(draw=st.data())
@settings(max_examples=150)
def test_mutated_seeds_raise_only_stitch_errors(name, draw):
    data = bytearray(draw.draw(st.sampled_from(fuzz_targets.seeds(name))))
    for at in draw.draw(st.lists(st.integers(0, len(data)), max_size=4)):
        data[at : at + draw.draw(st.integers(0, 8))] = draw.draw(st.binary(max_size=8))
    fuzz_targets.ENTRY_POINTS[name](bytes(data))


JSON_SEEDS = [(seed[:3], seed[3:]) for seed in fuzz_targets.seeds("response") if seed[3:4] in (b"{", b"[")]


@given(draw=st.data(), seed=st.sampled_from(JSON_SEEDS), status=st.sampled_from([0, 1, 3]))
@settings(max_examples=300)
def test_mutated_json_raises_only_stitch_errors(draw, seed, status):
    head, body = seed
    changed = _mutated(draw, json.loads(body))
    fuzz_targets.response(bytes([head[0], status, 0]) + json.dumps(changed).encode())


def _mutated(draw: Any, value: Any) -> Any:
    """Return a JSON value in which a random part is replaced or removed."""
    inner = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        inner = list(range(len(value)))
    if not inner or draw.draw(st.integers(0, 4)) == 0:
        return draw.draw(any_json)
    key = draw.draw(st.sampled_from(inner))
    if draw.draw(st.integers(0, 5)) == 0:
        del value[key]
    else:
        value[key] = _mutated(draw, value[key])
    return value
