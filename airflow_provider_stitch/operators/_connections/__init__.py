"""Read and write Airflow connections that hold a token."""
