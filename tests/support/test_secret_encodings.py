"""Test that a secret is found in every encoding that Airflow or a library might use."""

from __future__ import annotations

import base64
import json
import pprint
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.secret_encodings import find_encodings

SECRET = "ac_4b/e1+d5%f0\"q\\b&<x>'s"


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(f"Bearer {SECRET}", id="a header"),
        pytest.param(json.dumps({"password": SECRET}), id="JSON"),
        pytest.param(json.dumps({"conn": json.dumps({"password": SECRET})}), id="JSON in JSON"),
        pytest.param(urlencode({"token": SECRET}), id="a form"),
        pytest.param(f"https://{quote(SECRET, safe='')}@host/", id="a URL"),
        pytest.param(f"https://host/{quote(SECRET)}", id="a path"),
        pytest.param(pprint.pformat([SECRET]), id="repr"),
        pytest.param(base64.b64encode(f"{SECRET}:".encode()).decode(), id="basic auth, as the user"),
        pytest.param(base64.b64encode(f":{SECRET}".encode()).decode(), id="basic auth, as the password"),
        pytest.param(base64.b64encode(f"ann:{SECRET}".encode()).decode(), id="basic auth"),
        pytest.param(base64.b64encode(f"Bearer {SECRET}".encode()).decode(), id="base64 of a header"),
        pytest.param(base64.urlsafe_b64encode(f"x{SECRET}".encode()).decode(), id="base64 for URLs"),
        pytest.param(SECRET.encode().hex(), id="hexadecimal"),
    ],
)
def test_secret_is_found_in_each_encoding(written):
    assert find_encodings(SECRET, f"before {written} after".encode())


printable = st.characters(min_codepoint=33, max_codepoint=126)


@given(st.binary(max_size=8), st.text(printable, min_size=8), st.binary())
def test_secret_is_found_in_base64_with_any_surrounding_bytes(before, secret, after):
    assert find_encodings(secret, base64.b64encode(before + secret.encode() + after))


@given(st.binary())
def test_nothing_is_found_in_content_without_the_secret(content):
    assert find_encodings(SECRET, content) == []
