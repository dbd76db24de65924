"""Classes that a test uses to control and inspect an emulated account."""
