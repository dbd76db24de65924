"""Measure the time and memory that large accounts, lists, logs and names take.

`python -m benchmarks.scale` prints the figures of docs/explanation/scalability.md. Time is virtual and Stitch
is in memory; everything that waits and evaluates is the provider's own code.
"""
