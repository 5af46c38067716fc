"""The volume group as a value, and pure functions over it."""
