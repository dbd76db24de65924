"""Measurements that back what the documentation says about costs: `python -m benchmarks [NAME ...]`."""
