"""Scorers turned into policies."""
