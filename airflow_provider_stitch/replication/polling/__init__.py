"""Poll an account on behalf of all waiters in one event loop."""
