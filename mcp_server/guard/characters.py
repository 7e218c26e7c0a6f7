"""The text before it is read: size, encoding, control characters, substitution. One linear pass each."""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_server.guard.envelope import refuse_envelope
from mcp_server.guard.limits import Limits
from mcp_server.sql.refusal import make_refusal

TextRule = Callable[[str, Limits], None]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def check_size(text: str, limits: Limits) -> None:
    """Refuse more than `max_sql_bytes` bytes of UTF-8.

    A character is at least one byte, so a text that is too long by its characters is not encoded.
    """
    if len(text) > limits.max_sql_bytes or len(text.encode("utf-8", "surrogatepass")) > limits.max_sql_bytes:
        raise make_refusal(
            "too_long",
            f"The statement is longer than {limits.max_sql_bytes:,} bytes. Shorten it: put long lists into a "
            "condition or a join.",
        )


def check_encoding(text: str, _limits: Limits) -> None:
    """Refuse what UTF-8 cannot hold: half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise make_refusal(
            "not_utf8", "The statement holds half of a character. Send plain UTF-8.", text=text, at=error.start
        ) from None


def check_control_characters(text: str, _limits: Limits) -> None:
    """Refuse control characters except tabs and line ends, in strings too.

    Engines and logs disagree about where such characters end a line.
    """
    if found := _CONTROL.search(text):
        raise make_refusal(
            "control_character",
            f"The control character U+{ord(found[0]):04X} is not allowed. Use spaces and line ends, and escapes such "
            r"as \n in strings.",
            text=text,
            at=found.start(),
        )


def check_substitution(text: str, _limits: Limits) -> None:
    """Refuse `${` anywhere, in strings and comments too.

    Spark replaces `${env:HOME}` before it parses the statement.
    """
    at = text.find("${")
    if at >= 0:
        raise make_refusal(
            "substitution",
            "${…} would be replaced by a setting of the server before the statement is read. Write the value itself, "
            "or '$' || '{' for the two characters.",
            text=text,
            at=at,
        )


def check_envelope(text: str, _limits: Limits) -> None:
    """Refuse a query that is wrapped in something else (`envelope`)."""
    refuse_envelope(text)


TEXT_RULES: tuple[TextRule, ...] = (
    check_size,
    check_encoding,
    check_control_characters,
    check_substitution,
    check_envelope,
)


def check_text(text: str, limits: Limits) -> None:
    """Apply every rule of `TEXT_RULES`.

    Errors: Refused.
    """
    for rule in TEXT_RULES:
        rule(text, limits)
