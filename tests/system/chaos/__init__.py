"""Chaos: processes are killed and connections cut when a seed says so.

Each run has the jobs that are due, and its true end.
"""
