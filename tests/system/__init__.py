"""Tests in an Airflow of several processes, which are killed. A job is never started twice and never lost."""
