"""The edge: devices, locks, files, terminals. Everything here may fail and says so by name."""
