"""A function that measures the virtual time since the start of a job."""

from __future__ import annotations

from airflow_provider_stitch.connect.objects import parse_time


def seconds_after(stitch, record, instant):
    """Return the seconds from a job's start to an instant. Stitch reports times in whole seconds."""
    return (parse_time(instant) - record.start_time.replace(microsecond=0)).total_seconds()
