"""Compare with the original code on small random weights."""
