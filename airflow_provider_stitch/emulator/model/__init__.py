"""The state of the emulator, independent of HTTP."""
