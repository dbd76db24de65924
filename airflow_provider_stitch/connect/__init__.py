"""The Stitch Connect API as a plain Python library. No module of this package imports Airflow."""
