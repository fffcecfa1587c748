"""Composition only: a flow is a list of tasks. Prefect's settings are made before any flow imports it."""

from tasks import environment

environment.prepare()
