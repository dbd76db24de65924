"""Shared by operators and sensors."""
