"""Modules that turn states and items into vectors or scores."""
