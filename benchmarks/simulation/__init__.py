"""Simulate several days of an account in virtual time, and measure how late tasks detect finished phases.

The tasks wait with the provider's own scheduler, page cache and request budget. Only Stitch and the time are
simulated. For comparison, each simulation is repeated with fixed schedules in place of the scheduler.
"""
