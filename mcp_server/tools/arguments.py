"""The arguments of a tool call as they come: which of them are meant, which are left out, which are a mistake.

Clients add arguments of their own to what a model wrote: n8n `toolCallId`, SiYuan `_sessionID`, others `_meta`. They do
so whatever the schema says (docs/architecture.md): those are left out, and the audit notes it.
What looks like an argument of this tool and is none is a model's mistake, which it can mend if it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp.server.mcpserver.tools import Tool

from lakehouse.errors import QueryError
from lakehouse.escaping import quote_briefly
from lakehouse.nearest import nearest

MOST_ARGUMENTS = 50
_MOST_NOTED = 5


class BadRequestError(QueryError):
    """A tool or an argument that does not exist or does not fit."""

    code = "bad_request"


@dataclass
class Arguments:
    """`values` are for the tool, `ignored` names others; `notes` tell a model of those that it may have meant."""

    values: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose_tool(name: str, tools: Mapping[str, Tool]) -> Tool:
    """The tool of that name. Raises BadRequestError."""
    if name in tools:
        return tools[name]
    hint = _did_you_mean(name, tools)
    raise BadRequestError(f"There is no tool {quote_briefly(name)}.{hint} Tools: {', '.join(tools)}.")


def read_arguments(tool: str, schema: Mapping[str, Any], given: Mapping[str, Any]) -> Arguments:
    """What a tool is called with: null, and a blank text for what may be left out, are as good as nothing.

    Raises BadRequestError for a name that the tool does not have where it is close to one that it has, or where one
    that it needs is missing.
    """
    if len(given) > MOST_ARGUMENTS:
        raise BadRequestError(f"{tool} was called with {len(given)} arguments; it has {len(schema['properties'])}.")
    known: Mapping[str, Any] = schema["properties"]
    required = schema.get("required", ())
    found = Arguments()
    for name, value in given.items():
        if name not in known:
            found.ignored.append(name)
        elif value is not None and (name in required or not _is_blank(value)):
            found.values[name] = value
    missing = [name for name in required if name not in found.values]
    for name in found.ignored:
        unset = [word for word in known if word not in found.values]
        hint = _did_you_mean(name, [word for word in unset if _is_spelt_like(name, word)])
        if hint or (missing and not _is_of_the_client(name)):
            raise BadRequestError(
                f"{tool} has no argument {quote_briefly(name)}.{hint} Its arguments: {', '.join(known)}."
            )
    meant = [quote_briefly(name) for name in found.ignored if not _is_of_the_client(name) or _names_one(name, known)]
    if meant:
        more = f" and {len(meant) - _MOST_NOTED} more" if len(meant) > _MOST_NOTED else ""
        found.notes.append(f"Ignored, as {tool} has no such argument: {', '.join(meant[:_MOST_NOTED])}{more}.")
    return found


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _is_of_the_client(name: str) -> bool:
    """Whether a program wrote the name: models write names like the schema's, which are lower case."""
    return not name.islower() or name.startswith("_")


def _is_spelt_like(name: str, word: str) -> bool:
    """Whether `name` may stand for `word`: for a program's name only where the letters are the same."""
    return not _is_of_the_client(name) or _letters(name) == _letters(word)


def _names_one(name: str, known: Iterable[str]) -> bool:
    """Whether one of the arguments is part of the name, as `table` is of `tableName`."""
    return any(_letters(word) in _letters(name) for word in known)


def _letters(name: str) -> str:
    return name[:100].replace("_", "").casefold()


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = nearest(word, known, most=1)
    return f" Did you mean {near[0]}?" if near else ""
