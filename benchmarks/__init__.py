"""Benchmarks for the costs that the documentation states: `python -m benchmarks [NAME ...]`."""
