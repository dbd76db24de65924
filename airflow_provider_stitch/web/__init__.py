"""The receiver of Stitch's webhooks, which runs in Airflow's API server."""
