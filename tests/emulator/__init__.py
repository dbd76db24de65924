"""Tests for the emulator over real HTTP. The tests never use the package's own client."""
