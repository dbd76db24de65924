"""Sensors: wait for a phase of a replication job."""
