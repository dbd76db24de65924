"""Hooks, which create a Stitch client from an Airflow connection."""
