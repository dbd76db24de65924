"""Measure the time and memory that are needed to read an extraction log.

The memory must not grow with the size of the log.
"""
