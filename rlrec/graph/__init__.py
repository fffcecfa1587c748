"""Edge and triple tables to tensors."""
