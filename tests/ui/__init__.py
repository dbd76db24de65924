"""What a person sees: Airflow's pages in a real browser. `make test-ui` runs these tests."""
