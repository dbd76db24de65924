"""`python -m demo` runs a local Stitch, a real Airflow, and a DAG that waits until rows are loaded."""
