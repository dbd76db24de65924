"""Chaos tests, which kill processes and interrupt connections at times that a seed determines.

The tests check that each DAG run ends in the expected state and that Stitch runs the expected number of jobs.
"""
