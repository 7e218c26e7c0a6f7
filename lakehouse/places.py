"""Lists of folders and storage URLs, as settings give them."""

from __future__ import annotations

import os


def check_places(text: str) -> str:
    """Check the value of IMDB_CATALOG_PLACES. Raises ValueError."""
    for place in split_places(text):
        if "://" not in place and not os.path.isabs(place):
            raise ValueError(f"{place} has to be an absolute path or a storage URL, such as /data/tables or s3://lakes")
        if "://" not in place and os.path.realpath(place) == os.sep:
            raise ValueError("the root of the file system would allow every file: name the folders of the tables")
    return text


def split_places(text: str | None) -> tuple[str, ...]:
    """Split a list of places at its commas."""
    return tuple(place.strip() for place in (text or "").split(",") if place.strip())
