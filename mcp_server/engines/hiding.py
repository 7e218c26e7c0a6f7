"""Removes locations from texts for callers: those of the lake and those of the engine's storage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

# To the end of the text where no bracket closes it: a pattern that can fail there would be tried from each beginning.
_LOCATION = re.compile(r"\[(?:s3a?|abfss?|gs|r2|wasbs?|adl|dbfs|file|hdfs|https?):/[^\]]*+(?:\]|\Z)")
_ADDRESS = re.compile(r"\b(?:s3a?|abfss?|gs|r2|wasbs?|adl|dbfs|file|hdfs|https?):/[^\s,;\]})'\"]+")


def hide_addresses(text: str) -> str:
    """Replace storage locations and URLs in a text."""
    return _ADDRESS.sub("<storage>", _LOCATION.sub("[<storage>]", text))


def list_spellings(places: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map every spelling that engines use for a location to its name; `places` are pairs of location and name."""
    found: dict[str, str] = {}
    for location, name in places:
        plain = location.rstrip("/")
        for spelling in {plain, quote(plain)}:
            # DataFusion writes paths without their first slash, Spark as file: URLs.
            for written in (f"file://{spelling}", f"file:{spelling}", spelling, spelling.lstrip("/")):
                if "/" in written:  # the bare word of a lake like /data would be found in any sentence
                    found[written] = name
    return found


def hide_paths(text: str, paths: Mapping[str, str]) -> str:
    """Replace locations by names, the longest first, so that a table wins over its lake."""
    for path in sorted(paths, key=len, reverse=True):
        text = text.replace(path, paths[path])
    return text
