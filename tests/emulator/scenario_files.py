"""Scenario files that several tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FULL = """
start: 2026-08-17T07:00:00Z
speed: 1
access_token: ac_mine
client_id: 7
enforce_limit: true
quirks: {stopped_jobs: signalled, listing_delay: 5, immutable_properties: [host]}
features: {cron: false, max_destinations: 1, excluded_source_types: [platform.stripe],
           excluded_destination_types: [redshift]}
destinations:
  - {type: snowflake, name: Warehouse, properties: {host: a.example}}
new_sources:
  platform.acme: {streams: {things: 3}}
sources:
  - name: github
    display_name: GitHub (shop)
    id: 5
    schedule_minutes: 60
    properties: {repository: acme/shop, start_date: 2025-01-01}
    streams: {commits: 120, issues: {rows: 7, selected: false}}
    past_jobs:
      - {seconds_ago: 600, rows: {commits: 3}}
      - {seconds_ago: 3600, tap_exit_status: -9}
    next_jobs:
      - {discovery_exit_status: 1, discovery_description: nothing found}
  - name: shop
    type: platform.postgres
    paused: by_stitch
    streams: {shop-public-orders: {rows: 447, stream_name: orders, schema_name: public}}
    job: {log: {target_version: "1.8"}, flushes: {shop-public-orders: [{at: 20, rows: 9}]}}
    load_errors: [{stream: shop-public-orders, message: disk full, seconds_ago: 100}]
    running: true
  - {name: events, type: import_api, streams: {clicks: 0}, past_loads: [{stream: clicks, seconds_ago: 60}]}
  - {name: old, streams: {}, deleted: true}
  - {name: acme, type: platform.acme, streams: {}, current_step: field_selection, paused: true}
failures:
  - {method: GET, path: /loads, status: 502, times: 2}
  - {host: log, times: all}
"""


def write(folder: Path, text: str, name: str = "shop.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
