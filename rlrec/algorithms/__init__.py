"""Stage B, one algorithm a file."""
