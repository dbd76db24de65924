"""Measure what waiting tasks cost a real Airflow triggerer: requests, event loop stalls, memory.

First a thousand of this provider's sensors wait in one triggerer. Once they do, the clocks of the triggerer
and of the local Stitch are accelerated, so that several of the ten-minute windows of Stitch's rate limit pass
within a minute. Then fewer triggers of this provider and of others wait in real time, one provider after the
other.
"""
