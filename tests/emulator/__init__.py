"""Tests of the emulator over real HTTP. They never use the package's own client."""
