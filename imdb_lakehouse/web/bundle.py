"""Makes one document of the page's modules: the view of a result, which other programs show in a frame of their own.

Such a frame loads nothing: its policy allows scripts that stand in the document and no others, so modules have to stand
in it too, and not behind addresses. Each becomes a function that returns what it exports, after those that it imports.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import cache
from pathlib import Path

from imdb_lakehouse.web import FOLDER

_VIEW = FOLDER.parent / "result_view"
_IMPORT = re.compile(r'^import (\{ \w+(?:, \w+)* \}) from "(\.[^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_ENDS_SCRIPT = re.compile(r"<(?:!--|/?script|/style)", re.IGNORECASE)


@cache
def build_result_view() -> str:
    """Build the view of a result: an HTML document that needs no other file."""
    chart, program = _read_source(FOLDER / "vendor/chart.umd.min.js"), bundle_modules(_VIEW / "main.js")
    style = _read_source(FOLDER / "app.css") + _read_source(_VIEW / "view.css")
    parts = {"style": style, "chart": chart, "program": program, "policy": _build_policy(style, chart, program)}
    page = _read_source(_VIEW / "index.html")
    for name, part in parts.items():
        before, after = page.split(f"<!--{name}-->")
        page = before + part + after
    return page


def bundle_modules(entry: Path) -> str:
    """Write a module, and all that it imports, as one script.

    Reads the forms that this project's modules have: imports of names, on one line, and exported declarations. Raises
    ValueError at any other form, and where modules import each other.
    """
    written: dict[Path, str] = {}
    _write_module(entry.resolve(), written, ())
    return "\n".join(('"use strict";', *written.values()))


def _write_module(path: Path, written: dict[Path, str], importers: tuple[Path, ...]) -> None:
    """Append the modules that one imports to `written`, then itself."""
    if path in importers:
        raise ValueError(f"{path.name} imports itself, by way of {importers[-1].name}")
    source = _read_source(path)
    for _, address in _IMPORT.findall(source):
        if (imported := (path.parent / address).resolve()) not in written:
            _write_module(imported, written, (*importers, path))
    names = _EXPORT.findall(source)
    body = _EXPORT.sub("", _IMPORT.sub(lambda found: f"const {found[1]} = {_name_module(found[2])};", source))
    if left := _LEFT.search(body):
        raise ValueError(f"{path.name}: this form cannot be bundled: {left[0]}")
    written[path] = f"const {_name_module(path.name)} = (() => {{\n{body}return {{ {', '.join(names)} }};\n}})();"


def _name_module(address: str) -> str:
    return f"module_{Path(address).stem}"


def _read_source(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".html" and (found := _ENDS_SCRIPT.search(text)):
        raise ValueError(f"{path.name} cannot stand in a document: it has {found[0]}")
    return text


def _build_policy(style: str, *scripts: str) -> str:
    """Allow what stands in the document, by its digest, and nothing else: no address, nothing that is added to it."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_hash_source, scripts))}",
            f"style-src {_hash_source(style)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash_source(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
