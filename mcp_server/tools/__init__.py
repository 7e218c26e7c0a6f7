"""The tools, and what is done around every call of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp_types import CallToolResult, ToolAnnotations

import prompts
from ai_functions.functions import functions
from mcp_server.exports import Exports
from mcp_server.tools.ai import tool_of
from mcp_server.tools.calls import AppContext, call
from mcp_server.tools.catalog import describe_schema, list_views
from mcp_server.tools.export import export_to
from mcp_server.tools.find import find
from mcp_server.tools.kept import read_kept_rows
from mcp_server.tools.schema import input_schema, output_schema
from mcp_server.tools.sql import cancel_query, execute_spark_sql, query_status

__all__ = ["APP_TOOLS", "TOOLS", "AppContext", "ToolSpec", "build", "call", "choose_tools"]


@dataclass(frozen=True)
class ToolSpec:
    """A tool: its function, and the name of both the tool and the prompt file with what a model reads of it.

    `answers_like` names a tool listed before it that answers in the same form. `writes` says that it makes something
    new outside the lake, which no tool changes. `words` stand in the place of a prompt file where no model reads of the
    tool.
    """

    name: str
    run: Callable[..., Awaitable[CallToolResult]]
    answers_like: str = ""
    writes: bool = False
    words: Mapping[str, str] | None = None

    @property
    def annotations(self) -> ToolAnnotations:
        if self.writes:
            return ToolAnnotations(read_only_hint=False, destructive_hint=False)
        return ToolAnnotations(read_only_hint=True)


TOOLS = (
    ToolSpec("find", find),
    ToolSpec("execute_spark_sql", execute_spark_sql),
    ToolSpec("query_status", query_status, "execute_spark_sql"),
    ToolSpec("cancel_query", cancel_query),
    ToolSpec("describe_schema", describe_schema),
    ToolSpec("list_views", list_views),
    *(
        ToolSpec(name, tool_of(function), next(iter(functions())) if number else "")
        for number, (name, function) in enumerate(functions().items())
    ),
)

APP_TOOLS = (
    ToolSpec(
        "read_kept_rows",
        read_kept_rows,
        "execute_spark_sql",
        words={
            "description": "More rows of an answer, for its view.",
            "query_id": "the answer's",
            "offset": "rows to skip",
        },
    ),
)
"""What views call and no model does (`mcp_server.apps`)."""


def choose_tools(tables: frozenset[str] | None, exports: Exports | None = None) -> tuple[ToolSpec, ...]:
    """Choose the tools for a lake with these tables: an AI function needs those that its facts come from.

    All of them, where the tables are not known. Results are exported where there is a place for files.
    """
    lacking = {name for name, function in functions().items() if tables is not None and not function.tables <= tables}
    chosen = tuple(spec for spec in TOOLS if spec.name not in lacking)
    if exports is None:
        return chosen
    return (*chosen, ToolSpec("export_result", export_to(exports), writes=exports.writes_files))


class _AsSent(FuncMetadata):
    """Takes texts as they were sent. The SDK reads JSON in them, and of a title like `[1]` makes a list."""

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        """The arguments; only the text `null` is none, which clients send for what is left out."""
        read = super().pre_parse_json(data)
        return {name: None if read[name] is None else value for name, value in data.items()}


def build(spec: ToolSpec, most_sql_bytes: int) -> Tool:
    """The tool as the SDK registers it, with short schemas and the descriptions of its prompt file.

    A statement has at most `most_sql_bytes` characters; it is the guard that counts bytes, and refuses a longer one.
    """
    words = dict(spec.words or prompts.read(spec.name).meta)
    if (function := functions().get(spec.name)) is not None:
        words.update(function.arguments)
    tool = Tool.from_function(spec.run, spec.name, description=words["description"], annotations=spec.annotations)
    tool.parameters = input_schema(tool.parameters, words)
    if (statement := tool.parameters["properties"].get("sql_query")) is not None:
        statement["maxLength"] = most_sql_bytes
    tool.fn_metadata = _AsSent(**dict(tool.fn_metadata))
    tool.fn_metadata.output_schema = output_schema(tool.fn_metadata.output_schema or {}, spec.answers_like)
    return tool
