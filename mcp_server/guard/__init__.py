"""Text → CheckedQuery, or a refusal that teaches. The only package that parses SQL.

Importing it imports sqlglot: it is imported late, at the first call.
"""

from __future__ import annotations

from mcp_server.guard.blame import judge
from mcp_server.guard.catalog import Catalog, Limits
from mcp_server.guard.pipeline import Read, Verdict, check, verdict
from mcp_server.guard.template import Argument, Identifier, template

__all__ = ["Argument", "Catalog", "Identifier", "Limits", "Read", "Verdict", "check", "judge", "template", "verdict"]
