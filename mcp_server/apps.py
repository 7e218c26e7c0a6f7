"""MCP Apps (SEP-1865): a view of answers, which a host shows beside what its model reads.

A client that announces the extension learns from its listings which tools have the view, where it lies, and by which
tool the view reads more rows. Others learn nothing of it, so that no model pays for what nobody shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp_types import Resource, Tool

VIEW_URI = "ui://lakehouse/result.html"
_MIME_TYPE = "text/html;profile=mcp-app"
_TOOLS_WITH_VIEW = frozenset({"execute_spark_sql", "query_status"})
_VIEW_META: Mapping[str, Any] = {
    "ui": {
        "csp": {"connectDomains": [], "resourceDomains": []},  # all that it needs is in it
        "prefersBorder": True,
    }
}


class Apps(Extension):
    """What the server announces: without it some hosts show no view (anthropics/claude-ai-mcp#165)."""

    identifier = "io.modelcontextprotocol/ui"


def announce(initialized: HandlerResult) -> None:
    """Announce the extension in an answer to `initialize`, from which the SDK drops it (docs/facts.md#mcp-apps)."""
    if isinstance(initialized, dict):
        initialized["capabilities"]["extensions"] = {Apps.identifier: {}}


def is_app_host(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the client shows views of MCP Apps."""
    from mcp.server.apps import client_supports_apps

    return client_supports_apps(ctx)


def list_for_host(tools: Iterable[Tool], app_tools: Iterable[Tool]) -> list[Tool]:
    """Complete a listing for a host: which tools have the view, and the tools that the view alone may call."""
    return [
        *(_with_ui(tool, resourceUri=VIEW_URI) if tool.name in _TOOLS_WITH_VIEW else tool for tool in tools),
        *(_with_ui(tool, resourceUri=VIEW_URI, visibility=["app"]) for tool in app_tools),
    ]


def describe_view() -> Resource:
    """The view as it is listed."""
    return Resource(
        uri=VIEW_URI,
        name="result",
        description="Shows an answer of execute_spark_sql as a table and a chart.",
        mime_type=_MIME_TYPE,
        _meta=dict(_VIEW_META),
    )


def read_view() -> ReadResourceContents:
    """The document of the view."""
    from imdb_lakehouse.web.bundle import build_result_view

    return ReadResourceContents(build_result_view(), _MIME_TYPE, dict(_VIEW_META))


def _with_ui(tool: Tool, **ui: Any) -> Tool:
    return tool.model_copy(update={"meta": {**(tool.meta or {}), "ui": ui}})
