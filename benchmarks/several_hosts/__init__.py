"""Compare 100 deferred tasks with 100 sensors that poke in 8 processes, with and without Redis."""
