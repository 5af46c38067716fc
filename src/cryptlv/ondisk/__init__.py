"""Codecs of LVM2's on-disk format: pure functions between bytes, text and values."""
