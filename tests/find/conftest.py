"""Fixtures of small sources, as the tests of the load have them."""

from tests.etl.conftest import make_source, sample

__all__ = ["make_source", "sample"]
