"""Text → CheckedQuery, or a refusal that teaches. The only package that parses SQL."""

from __future__ import annotations
