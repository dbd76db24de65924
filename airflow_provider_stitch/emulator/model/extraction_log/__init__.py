"""The text of extraction logs."""
