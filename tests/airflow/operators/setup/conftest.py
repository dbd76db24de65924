"""Fixtures for an Airflow connection with a secret, and for a Stitch client."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stitch.connect.client import StitchClient


@pytest.fixture(autouse=True)
def vault(monkeypatch):
    """Add an Airflow connection with a secret, and return a function that changes the secret."""

    def store(password):
        connection = {
            "conn_type": "generic",
            "password": password,
            "extra": {"key": {"private_key": password}},
        }
        monkeypatch.setenv("AIRFLOW_CONN_VAULT", json.dumps(connection))

    store("hush-first-1234567890")
    return store


@pytest.fixture
def client(stitch):
    return StitchClient(stitch.access_token, base_url=stitch.url)
