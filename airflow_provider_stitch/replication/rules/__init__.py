"""The rules that determine when a phase is finished, as pure functions without I/O."""
