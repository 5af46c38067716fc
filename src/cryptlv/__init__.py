"""LVM2 volume groups whose logical volumes are encrypted by the volume manager itself."""

__version__ = "0.1.0"
