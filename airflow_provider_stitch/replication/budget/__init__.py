"""Count the status requests of an account, and limit them for all tasks that use the account."""
