"""Status requests, shared by all waiters of an account in one event loop."""
