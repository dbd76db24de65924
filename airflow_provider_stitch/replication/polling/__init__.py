"""Poll an account on behalf of all waiters of one event loop."""
