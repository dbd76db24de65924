"""When is a phase of a replication job finished? Pure rules, and the one way to wait.

Nothing here imports Airflow. Read in this order: `goals` (what somebody waits for), `known` (what Stitch has
told so far), `phases` (the verdict, from the two), `watch` (asking until there is a verdict), `start`
(starting a job once and only once).
"""
