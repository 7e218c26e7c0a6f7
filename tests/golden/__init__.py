"""Spark's own SQL tests, run against the embedded engine (`python -m tests.golden`)."""
