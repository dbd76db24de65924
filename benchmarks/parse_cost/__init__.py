"""Measure what importing a provider's operators adds to each parse of a DAG file.

Airflow parses every DAG file repeatedly, each time in a new process, so an unnecessary import costs its time
thousands of times a day. The benchmark measures CPU time, because other processes do not affect it.

Python caches compiled modules, unless it cannot write the files or `PYTHONDONTWRITEBYTECODE` is set, as in
some images. Then every parse compiles the modules again, which takes several times as long. The benchmark
measures both.
"""
