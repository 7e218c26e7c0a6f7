"""JSON schemas without what a model does not need: a listing of tools is read in every conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNNEEDED = frozenset({"title", "default", "description", "additionalProperties"})


def input_schema(schema: dict[str, Any], descriptions: Mapping[str, str]) -> dict[str, Any]:
    """The schema of a tool's arguments, described. An argument that may be null may be left out, which says enough.

    Other arguments are not forbidden (`additionalProperties`): clients that add their own would be refused by whoever
    checks the schema, and they add them whatever it says (docs/architecture.md).
    """
    small = _compact(schema, schema.get("$defs", {}))
    for name, child in small["properties"].items():
        if isinstance(child.get("type"), list):
            child["type"] = child["type"][0]
        child.pop("maxLength", None)  # checked, and not worth its tokens: no name that a model writes comes near it
        child["description"] = descriptions[name]
    return small


def output_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a tool's structured content; the names of its fields are its description."""
    return _compact(schema, schema.get("$defs", {}))


def _compact(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The same schema without titles, model docstrings and defaults, with definitions put in place."""
    if "$ref" in schema:
        return _compact(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        value, null = schema["anyOf"]
        return {**_compact(value, definitions), "type": [value["type"], null["type"]]}
    small: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            small[key] = {name: _compact(child, definitions) for name, child in value.items()}
        elif key == "items":
            small[key] = _compact(value, definitions)
        elif key not in _UNNEEDED | {"$defs"}:
            small[key] = value
    return small
