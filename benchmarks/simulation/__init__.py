"""Simulate days of an account in virtual time, and measure how late a waiting task detects a finished phase.

The tasks wait with the provider's own scheduler, page cache and request budget. Only Stitch and the time are
simulated. For comparison, each simulation is repeated with fixed schedules in place of the scheduler.
"""
