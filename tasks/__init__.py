"""Thin bodies: load, one library call, store, log. The only place where files, MLflow and Prefect meet the library."""
