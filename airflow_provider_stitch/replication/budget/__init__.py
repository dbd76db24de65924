"""Count and limit the status requests that all tasks send for an account."""
