"""Stage A objectives, one loop each."""
