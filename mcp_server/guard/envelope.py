"""Wrappings that queries are often sent in: code fences, labels, quotes of a program, HTML.

Later layers would refuse them too, with a message about a quote or a semicolon. Here the message names the wrapping.
"""

from __future__ import annotations

import re

from mcp_server.sql.refusal import clip, make_refusal

_FENCE = re.compile(r"\s*(?:```|~~~)")
_FIRST_WORD = re.compile(r"\s*([A-Za-z_]\w*)", re.ASCII)
_QUERY = re.compile(r"\b(?:SELECT|WITH|FROM|VALUES|TABLE|EXPLAIN|SHOW|DESCRIBE)\b", re.IGNORECASE)
_OPENERS = frozenset(":>\"'`(")
"""What a query stands behind in a text around it, if not on a line of its own."""
_PREFACE = 400
"""How many characters are looked at for the beginning of the query."""

_STATEMENTS = """
    SELECT WITH FROM VALUES TABLE EXPLAIN SHOW DESCRIBE DESC MAP REDUCE
    ADD ALTER ANALYZE BEGIN CACHE CALL CLEAR CLONE COMMENT COMMIT CONVERT COPY CREATE DECLARE DELETE DENY DROP EXECUTE
    EXPORT FSCK GENERATE GRANT IMPORT INSERT INSTALL LIST LOAD LOCK MERGE MSCK OPTIMIZE PRAGMA REFRESH REORG REPAIR
    REPLACE RESET RESTORE REVOKE ROLLBACK SET START SYNC TRUNCATE UNCACHE UNLOCK UNSET UNDROP UPDATE USE VACUUM
"""
"""What statements begin with, those that are not allowed too: what begins so is no preface."""


def refuse_envelope(text: str) -> None:
    """Refuse a text that begins with a wrapping.

    Errors: Refused, with the code `not_plain_sql`.
    """
    if _FENCE.match(text):
        raise make_refusal(
            "not_plain_sql",
            "The query stands in a code fence. Send the SQL alone, without the lines that begin with ```.",
        )
    if text.lstrip()[:1] == "{":
        raise make_refusal(
            "not_plain_sql", "This is JSON or a template. Send the SQL in it alone, with its values filled in."
        )
    first = _FIRST_WORD.match(text)
    if first is not None and first[1].upper() in _STATEMENTS.split():
        return
    query = _find_query(text) if first is not None or text.lstrip()[:1] in {'"', "'", "`", ">"} else None
    if query is not None:
        preface, start = clip(text[: query.start()].strip()), query[0].upper()
        raise make_refusal(
            "not_plain_sql",
            f"The text before {start} is no part of a query ({preface}). Send the SQL alone, beginning with {start}.",
        )


def _find_query(text: str) -> re.Match[str] | None:
    for found in _QUERY.finditer(text, 0, _PREFACE):
        before = text[: found.start()]
        preface = before.rstrip()
        if preface[-1:] in _OPENERS or "\n" in before[len(preface) :]:
            return found
    return None
