"""Send HTTP requests to Stitch, and convert every failure to a StitchError."""
