"""The part of the provider that runs in Airflow's API server: the receiver of Stitch's webhooks."""
