"""The endpoints of the API, one module per group of Stitch's reference."""
