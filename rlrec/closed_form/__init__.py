"""Scorers without a training loop."""
