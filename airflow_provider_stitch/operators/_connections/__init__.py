"""Read and write the Airflow connections that contain access tokens."""
