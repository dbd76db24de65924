"""Measure the time and memory for reading an extraction log. Memory must not grow with the log's size."""
