"""Chaos tests, which kill processes and cut connections at times that a seed determines.

Each run must end in the expected state, and Stitch must have run the expected number of jobs.
"""
