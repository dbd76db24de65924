"""Airflow operators that start and stop replication jobs, and set up accounts."""
