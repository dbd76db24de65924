"""Test Airflow's pages in a real browser (`make test-ui`)."""
