"""Composition only: a flow is a list of tasks."""
