"""Key handlers: one file each. A handler obtains a volume key; it knows nothing of volume groups and devices."""
