"""Measure the time and memory that large accounts, lists, logs and names require.

`python -m benchmarks.scale` prints the figures of docs/explanation/scalability.md. Time is virtual, and a
simulated Stitch runs in memory. The provider's own code waits for the jobs and evaluates them.
"""
