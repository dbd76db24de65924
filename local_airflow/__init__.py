"""A whole Airflow on this machine, in a temporary folder: for the demo and for tests/system."""
