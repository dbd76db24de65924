"""Benchmarks that measure the costs stated in the documentation: `python -m benchmarks [NAME ...]`."""
