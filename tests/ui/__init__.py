"""Tests for Airflow's pages in a real browser (`make test-ui`)."""
