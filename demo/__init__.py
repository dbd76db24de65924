"""`python -m demo`: a local Stitch, a real Airflow, and a DAG that waits until its rows are loaded."""
