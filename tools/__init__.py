"""Commands for maintainers that check prose and write pages and pictures of the documentation."""
