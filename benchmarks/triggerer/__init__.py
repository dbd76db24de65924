"""A real Airflow triggerer with a probe inside. Benchmarks let triggers wait there."""
