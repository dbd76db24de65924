"""Tests of the local Stitch, over real HTTP and never through our own client."""
