"""When is a phase finished? Pure functions, without I/O."""
