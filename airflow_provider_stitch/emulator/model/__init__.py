"""The state of the emulated Stitch, without HTTP."""
