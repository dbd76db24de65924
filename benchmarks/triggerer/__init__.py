"""A real Airflow triggerer, in which a probe and the triggers of a benchmark run."""
