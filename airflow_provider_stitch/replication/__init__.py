"""When is a phase of a replication job finished, and how to wait for it.

Nothing here imports Airflow. Read in this order: `rules.goal` (what a task waits for), `rules.observations`
(what Stitch has returned so far), `rules.evaluate` (whether the goal is reached), `waiter` (which polls until
it is), `session` and `polling` (how it polls), and `jobs` (how to start and stop a job safely).
"""
