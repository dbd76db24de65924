"""Measure how much time the import of a provider's operators adds to each parse of a DAG file.

Airflow parses every DAG file thousands of times a day, each time in a new process. An unnecessary import
takes time at every parse. The benchmark measures CPU time, which other processes do not affect. Python
usually caches compiled modules. In some container images, Python cannot write the cached files, or
`PYTHONDONTWRITEBYTECODE` is set. Every parse then compiles the modules again, and takes several times as
long. The benchmark measures imports with and without the cache.
"""
