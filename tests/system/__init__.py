"""Tests with a real Airflow installation, which runs in several processes.

Some tests kill one or more of the processes.

The tests check that no job is started twice and that no job is lost.
"""
