"""A complete Airflow installation in a temporary folder, used by the demo, tests/system and tests/ui."""
