"""Measure the speed and the memory of reading an extraction log. Memory must not grow with the log."""
