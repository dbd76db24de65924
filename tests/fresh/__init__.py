"""Tests that follow the documentation in a new clone and an empty environment (`make test-pages`)."""
