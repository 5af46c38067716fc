"""Volumes opened for use: a mapping as a byte-addressed device, served by NBD or FUSE from a process of its own."""
