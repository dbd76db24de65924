"""Evaluate when a phase of a replication job is finished, and wait for it. Nothing here imports Airflow.

`rules` evaluates the phases in pure functions. `polling` polls Stitch for all waiters of an account, and
`budget` limits its requests. `waiter` waits for one phase of one job through a `session` of its task, and
`jobs` starts and stops jobs.
"""
