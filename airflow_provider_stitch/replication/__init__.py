"""Start replication jobs, and wait until their phases are finished. This package never imports Airflow.

`rules` contains the pure functions that evaluate a phase. `polling` polls Stitch on behalf of all waiters of
an account, and `budget` limits the number of requests. `waiter` waits for one phase of one job, `session`
gives a task access to its account, and `jobs` starts and stops jobs.
"""
