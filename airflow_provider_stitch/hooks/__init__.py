"""Hooks: an Airflow connection becomes a Stitch client."""
