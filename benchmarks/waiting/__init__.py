"""Measure the requests, memory and event loop stalls of waiting tasks in a real Airflow triggerer.

First, a thousand of this provider's sensors wait in one triggerer. When all sensors are waiting, the clocks
of the triggerer and of the local Stitch are accelerated. Several ten-minute windows of Stitch's rate limit
then pass within a minute. In the second part, fewer triggers of each provider wait in real time, one provider
after the other.
"""
