"""Triggers, which wait in Airflow's triggerer on behalf of deferred tasks."""
