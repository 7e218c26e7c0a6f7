"""JSON schemas without what a model does not need: a listing of tools is read in every conversation.

Of an answer the schema says which fields are there, which words they hold, and what lists consist of. It does not say
that a text is a text: that is no help to a model, and the answer's own model in this program has checked it.
"""

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
        for bound in ("maxLength", "minimum"):  # checked, and not worth its tokens: what a model writes is within it
            child.pop(bound, None)
        child["description"] = descriptions[name]
    return small


def output_schema(schema: dict[str, Any], like: str = "") -> dict[str, Any]:
    """The schema of a tool's structured content; the names of its fields are its description.

    `like` names a tool that was listed before and answers in the same form: then its schema is not repeated.
    """
    if like:
        return {"type": "object", "description": f"as {like}", "required": schema["required"][:1]}
    whole = _compact(schema, schema.get("$defs", {}))
    fields = {name: small for name, field in whole["properties"].items() if (small := _keep_telling(field))}
    return {"type": "object", **({"properties": fields} if fields else {}), "required": whole["required"]}


def _keep_telling(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a field's schema tells beyond a type: its words, or the parts of a list's items."""
    if "enum" in field:
        return {"enum": field["enum"]}
    items = field.get("items", {})
    if "required" in items:
        return {"items": {"required": items["required"]}}
    return {"items": {"type": "array"}} if items.get("type") == "array" else {}


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
