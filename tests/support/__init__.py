"""Helpers for more than one test module."""
