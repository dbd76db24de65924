"""Benchmarks for the figures in the documentation. Run them with `python -m benchmarks [NAME ...]`."""
