"""Airflow sensors that wait for a phase of a replication job."""
