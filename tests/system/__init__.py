"""Jobs are never started twice and never lost: shown in an Airflow of several processes, which are killed."""
