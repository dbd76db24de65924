"""The Stitch Connect API as a plain Python library. Nothing here imports Airflow."""
