"""What a user may ask: one function each. The only room where model, keys, host and activation meet."""
