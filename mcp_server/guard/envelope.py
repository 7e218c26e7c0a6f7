"""What a query is often sent in: the fence of a chat, a label, the quotes of a program, the HTML of a page.

Each of these is refused by the layers behind it anyway, with words about a quote or a semicolon. Here it is called what
it is.
"""

from __future__ import annotations

import re

from mcp_server.sql.refusal import refused, shown

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
    """Refuses a text that begins with what a query was sent in.

    Errors: Refused, with the code `not_plain_sql`.
    """
    if _FENCE.match(text):
        raise refused(
            "not_plain_sql",
            "The query stands in a code fence. Send the SQL alone, without the lines that begin with ```.",
        )
    if text.lstrip()[:1] == "{":
        raise refused(
            "not_plain_sql", "This is JSON or a template. Send the SQL in it alone, with its values filled in."
        )
    first = _FIRST_WORD.match(text)
    if first is not None and first[1].upper() in _STATEMENTS.split():
        return
    query = _find_query(text) if first is not None or text.lstrip()[:1] in {'"', "'", "`", ">"} else None
    if query is not None:
        preface, start = shown(text[: query.start()].strip()), query[0].upper()
        raise refused(
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
