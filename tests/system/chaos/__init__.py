"""Chaos: processes are killed and connections cut when a seed says so. Each run has one job, and ends."""
