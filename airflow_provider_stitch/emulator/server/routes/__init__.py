"""The endpoints of the API, with one module for each group of endpoints in Stitch's reference."""
