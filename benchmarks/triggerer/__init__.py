"""A real Airflow triggerer that contains a probe. The triggers of benchmarks wait in this triggerer."""
