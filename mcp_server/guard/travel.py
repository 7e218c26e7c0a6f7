"""Which version of a table a statement reads: a published one, by its number or by a time.

Engines would read any version in the table's log, even that of a load that is running or was killed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lakehouse.errors import Refused
from mcp_server.models import TableInfo, Version
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.clauses import TableRef
from mcp_server.sql.lexer import Kind
from mcp_server.sql.refusal import clip
from mcp_server.sql.source import Source

_MOST_DIGITS = 18
"""Of a version's number, which is a BIGINT."""

_MOMENT = re.compile(
    r"'(\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?)?)'", re.ASCII
)  # the forms that Python, Spark and Sail read alike


def read_version(source: Source, ref: TableRef, info: TableInfo, catalog: Catalog) -> Version | None:
    """Return the version that follows a table's name, or None where none does.

    A time after the newest version was published gives that version's number.
    Errors: Refused, with the code `time_travel`.
    """
    if not ref.travels:
        return None
    token = source.tokens[ref.end]
    if token.kind is Kind.NUMBER:
        return _published_number(source, ref, info, catalog)
    moment = _read_moment(token.text)
    if moment is None:
        raise _refuse(source, ref, "A time is written as '2026-01-31', '2026-01-31 18:30:00' or with a zone, as in "
                      "'2026-01-31T18:30:00+02:00'; without one it is in UTC.")  # fmt: skip
    if moment > catalog.now():
        raise _refuse(source, ref, f"{token.text} is in the future, and what will be published by then is not known. "
                      f"Leave the time out for the newest version of {info.name}.")  # fmt: skip
    newest = catalog.pins.get(info.name)
    return newest if newest is not None and info.published is not None and moment >= info.published else moment


def _published_number(source: Source, ref: TableRef, info: TableInfo, catalog: Catalog) -> int:
    digits, newest = source.tokens[ref.end].text, catalog.pins.get(info.name)
    if len(digits) > _MOST_DIGITS or (newest is not None and int(digits) > newest):
        known = (
            "no table has so many versions" if newest is None else f"{info.name} has the versions 0 to {newest} here"
        )
        raise _refuse(source, ref, f"Version {clip(digits)} is not published: {known}. "
                      "Leave the version out for the newest.")  # fmt: skip
    return int(digits)


def _read_moment(text: str) -> datetime | None:
    """Parse a time from a plain string. Without a zone it is in UTC, which sessions use."""
    form = _MOMENT.fullmatch(text.replace('"', "'"))
    try:
        found = datetime.fromisoformat(form[1]) if form is not None else None
    except ValueError:
        return None  # the thirtieth of February
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def _refuse(source: Source, ref: TableRef, message: str) -> Refused:
    return source.refusal_at("time_travel", message, ref.end)
