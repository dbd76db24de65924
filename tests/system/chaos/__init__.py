"""Chaos tests: kill processes and cut connections at times that a seed determines.

Each run must end in its expected state, and Stitch must have run the expected number of jobs.
"""
