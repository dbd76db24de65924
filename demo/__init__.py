"""A demo with a local Stitch, a real Airflow, and a DAG that waits until rows are loaded.

Usage: `python -m demo`
"""
