"""Chaos tests, which kill processes and interrupt connections. A seed determines the times of these faults.

The tests check that each DAG run ends in the expected state and that Stitch runs the expected number of jobs.
"""
