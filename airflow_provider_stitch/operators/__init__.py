"""Operators: start and stop replication jobs."""
