"""Curves and tables to figures and the report page: the only plots."""
