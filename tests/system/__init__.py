"""Tests in a real Airflow that runs in several processes, some of which the tests kill.

The tests check that no job is started twice and that no job is lost.
"""
