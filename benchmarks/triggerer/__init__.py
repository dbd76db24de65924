"""A real Airflow triggerer with a probe inside, in which benchmarks let triggers wait."""
