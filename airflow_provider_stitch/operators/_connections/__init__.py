"""Read and write Airflow connections that contain a token."""
