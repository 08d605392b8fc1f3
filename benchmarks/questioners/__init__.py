"""Compare questioners: interviews about the same pictures, counted in a table."""
