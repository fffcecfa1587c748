"""What a log of slates says: evidence, reward models."""
