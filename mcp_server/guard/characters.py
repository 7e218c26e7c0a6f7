"""Layer 0: what a text must be before anything reads it. One linear pass each."""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_server.guard.envelope import refuse_envelope
from mcp_server.guard.limits import Limits
from mcp_server.sql.refusal import refused

TextRule = Callable[[str, Limits], None]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def size(text: str, limits: Limits) -> None:
    """At most `max_sql_bytes` bytes of UTF-8. A character is at least one byte: long texts are not encoded."""
    if len(text) > limits.max_sql_bytes or len(text.encode("utf-8", "surrogatepass")) > limits.max_sql_bytes:
        raise refused(
            "too_long",
            f"The statement is longer than {limits.max_sql_bytes:,} bytes. Shorten it: put long lists into a "
            "condition or a join.",
        )


def encoding(text: str, _limits: Limits) -> None:
    """Only what UTF-8 can hold: no half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise refused(
            "not_utf8", "The statement holds half of a character. Send plain UTF-8.", text=text, at=error.start
        ) from None


def control(text: str, _limits: Limits) -> None:
    """No control characters but tab and line ends, in strings neither: engines and logs end lines differently."""
    if found := _CONTROL.search(text):
        raise refused(
            "control_character",
            f"The control character U+{ord(found[0]):04X} is not allowed. Use spaces and line ends, and escapes such "
            r"as \n in strings.",
            text=text,
            at=found.start(),
        )


def substitution(text: str, _limits: Limits) -> None:
    """No `${`, anywhere: Spark replaces `${env:HOME}` before it reads the statement, in strings and comments too."""
    at = text.find("${")
    if at >= 0:
        raise refused(
            "substitution",
            "${…} would be replaced by a setting of the server before the statement is read. Write the value itself, "
            "or '$' || '{' for the two characters.",
            text=text,
            at=at,
        )


def envelope(text: str, _limits: Limits) -> None:
    """The query alone, without what it was sent in."""
    refuse_envelope(text)


TEXT_RULES: tuple[TextRule, ...] = (size, encoding, control, substitution, envelope)


def check_text(text: str, limits: Limits) -> None:
    """Every rule of `TEXT_RULES`. Errors: Refused."""
    for rule in TEXT_RULES:
        rule(text, limits)
