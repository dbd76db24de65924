"""Apache Airflow provider for Stitch, which starts replication jobs and waits until their rows are loaded."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

__version__ = "0.1.0"

_DOCUMENTATION = "https://www.stitchdata.com/docs/developers/stitch-connect/api"

# Paths of the guides in the repository, in the same form as in Airflow's own providers.
_HOW_TO_GUIDES = [
    f"/docs/how-to/{name}.md"
    for name in (
        "choose-operator",
        "run-dbt-afterwards",
        "schedule-by-loads",
        "many-sources",
        "schedules",
        "start-dags-after-loads",
        "triggerer-only-sensors",
        "shared-account",
        "several-hosts",
        "alerts",
        "lineage",
        "test-dags",
        "emulator",
        "set-up-accounts",
        "onboard-tenants",
        "use-client",
        "migrate",
    )
]

_CONNECTION_TYPE = {
    "connection-type": "stitch",
    "hook-class-name": "airflow_provider_stitch.hooks.stitch.StitchHook",
    "hook-name": "Stitch",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port", "extra"],
        "relabeling": {
            "password": "API access token",
            "login": "Client ID (optional)",
            "host": "API base URL (optional)",
        },
        "placeholders": {
            "login": "found from the account when empty",
            "host": "https://api.stitchdata.com",
            "request_timeout": "30",
            "requests_per_10_minutes": "30",
        },
    },
    "conn-fields": {
        "partner_id": {
            "label": "Partner ID",
            "description": "Only for partners who create Stitch accounts",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "partner_secret": {
            "label": "Partner secret",
            "description": "Only for partners who create Stitch accounts",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "request_timeout": {
            "label": "Request timeout (s)",
            "description": "Seconds to wait for each part of a response; 30 if empty",
            "schema": {"type": ["number", "null"], "minimum": 1},
        },
        "requests_per_10_minutes": {
            "label": "Status requests per 10 minutes",
            "description": "This Airflow's share of the account's 30; all 30 if empty",
            "schema": {"type": ["integer", "null"], "minimum": 1},
        },
        "redis_conn_id": {
            "label": "Redis connection",
            "description": "Share the request budget of several hosts through this Redis connection",
            "schema": {"type": ["string", "null"]},
        },
        "webhook_secret": {
            "label": "Webhook secret",
            "description": "Secret of the URL that receives Stitch's post-load webhooks, at least 20 "
            "characters; none are received if empty",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the description of this provider for Airflow's entry point `apache_airflow_provider`.

    The description also defines the connection form. Airflow 3 reads the form from the description. For
    Airflow 2, the hook creates the form from the same values. Airflow's `provider_info.schema.json` defines
    the structure of the description.
    """
    stitch = {"integration-name": "Stitch"}
    uris = [{"schemes": ["stitch"], "handler": "airflow_provider_stitch.common.asset_uris.sanitize_uri"}]
    return {
        "package-name": "airflow-provider-stitch",
        "name": "Stitch",
        "description": "`Stitch <https://www.stitchdata.com/>`__ replicates sources into a data warehouse.",
        "versions": [__version__],
        "integrations": [
            {
                **stitch,
                "external-doc-url": _DOCUMENTATION,
                "how-to-guide": list(_HOW_TO_GUIDES),
                "tags": ["service"],
            }
        ],
        "hooks": [{**stitch, "python-modules": ["airflow_provider_stitch.hooks.stitch"]}],
        "operators": [{**stitch, "python-modules": ["airflow_provider_stitch.operators.stitch"]}],
        "sensors": [{**stitch, "python-modules": ["airflow_provider_stitch.sensors.stitch"]}],
        "triggers": [{**stitch, "python-modules": ["airflow_provider_stitch.triggers.stitch"]}],
        "extra-links": ["airflow_provider_stitch.common.link.StitchSourceLink"],
        "connection-types": [deepcopy(_CONNECTION_TYPE)],
        "asset-uris": uris,
        "dataset-uris": uris,  # in Airflow 2, assets are called datasets
    }
