"""Compare 100 sensors that poke in 8 processes, with and without Redis, with 100 deferred tasks."""
