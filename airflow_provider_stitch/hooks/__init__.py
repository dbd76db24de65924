"""Airflow hooks that create a Stitch client from an Airflow connection."""
