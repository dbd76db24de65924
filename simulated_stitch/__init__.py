"""A Stitch account in memory and in virtual time, used by tests/replication and benchmarks/simulation."""
