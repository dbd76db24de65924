"""Measure the time and memory that large accounts, lists, logs and names require.

`python -m benchmarks.scale` prints the figures of docs/explanation/scalability.md. Time is virtual, and a
simulated Stitch runs in memory. The code that waits for jobs and evaluates them is the provider's own code.
"""
