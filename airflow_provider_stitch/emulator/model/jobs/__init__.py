"""Replication jobs and their loads."""
