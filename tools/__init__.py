"""Commands for maintainers: they check prose, and draw and write parts of the documentation."""
