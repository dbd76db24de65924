"""Commands for maintainers, which check prose, and write pages and pictures for the documentation."""
