"""Measure the requests, memory and event loop stalls of waiting tasks in a real Airflow triggerer.

First, a thousand of this provider's sensors wait in one triggerer. The clock of the local Stitch is
accelerated. When all sensors are waiting, the clocks of the triggerer are accelerated, too. Several
ten-minute windows of Stitch's rate limit then pass within a minute. In the second part, fewer triggers of
each provider wait in real time, one provider after the other.
"""
