"""HTTP: send one request to Stitch, and turn every failure into a StitchError."""
