"""Equations as pure functions on tensors; one family per file."""
