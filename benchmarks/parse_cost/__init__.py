"""Measure what importing a provider's operators adds to each parse of a DAG file.

Airflow parses every DAG file thousands of times a day, each time in a new process. Each parse repeats an
unnecessary import. The benchmark measures CPU time, because other processes do not affect CPU time.

Python usually caches compiled modules. In some container images it cannot write the files, or
`PYTHONDONTWRITEBYTECODE` is set. There, every parse compiles the modules again, which takes several times as
long. The benchmark measures imports with and without the cache.
"""
