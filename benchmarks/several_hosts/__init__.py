"""Compare 100 deferred tasks to 100 sensors that poke in 8 processes, with and without Redis."""
