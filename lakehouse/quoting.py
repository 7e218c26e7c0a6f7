r"""Names and texts as Spark SQL writes them, for Spark and Sail alike.

Both engines take `\'`, `\\` and `\u0007` in a literal for what they say; a doubled quote is one quote in Spark and none
in Sail. `\0` is not written: before two digits it is an octal escape.
"""

from __future__ import annotations

import re
from typing import Final

_ESCAPED: Final = re.compile(r"[\\'\x00-\x1f\x7f-\x9f]|\$(?=\{)")
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n"}


def quote_identifier(*parts: str) -> str:
    """Quote the parts of a name with back-quotes and join them with full stops.

    >>> quote_identifier("main", "odd `name`")
    '`main`.`odd ``name```'
    """
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def quote_literal(text: str) -> str:
    r"""Write a text as a string literal.

    Control characters are escaped because the guard refuses them, and `${` because Spark substitutes variables there.

    >>> print(quote_literal("it's\n${x}"))
    'it\'s\n\u0024{x}'
    """
    return "'" + _ESCAPED.sub(_escape, text) + "'"


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}")
