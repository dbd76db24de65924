"""The request budget: the count of status requests that an account's tasks share."""
