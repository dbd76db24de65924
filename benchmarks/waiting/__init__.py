"""Measure the requests, event loop stalls and memory that waiting tasks cause in a real Airflow triggerer.

First, a thousand of this provider's sensors wait in one triggerer. When all of them are waiting, the clocks
of the triggerer and of the local Stitch are accelerated. Several ten-minute windows of Stitch's rate limit
then pass within a minute. After that, fewer triggers of each provider wait in real time, one provider after
the other.
"""
