"""Edits one member of a JSON text and leaves every other byte as it is: comments, order, indentation, line ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_STRING: Final = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT: Final = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA: Final = re.compile(rf"{_STRING}|,(?=\s*[}}\]])")
_LETTER: Final = re.compile(r"[^\n]")
_INDENT: Final = re.compile(r"\n([ \t]+)\S")


class JsonTextError(ValueError):
    """The text is no JSON object, or not of the form that an edit needs; the message says where."""


@dataclass(frozen=True)
class _Member:
    key: str
    start: int
    value: int
    end: int


class JsonText:
    """A JSON text whose root is an object. Comments and trailing commas are allowed in it.

    >>> JsonText('{"a": 1} // one').set_member(["b", "c"], 2)
    '{"a": 1,\\n  "b": {\\n    "c": 2\\n  }\\n} // one'

    Raises JsonTextError where it cannot be parsed, or an object has a key twice.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        without_comments = _COMMENT.sub(_blank_out, text)
        self._plain = _TRAILING_COMMA.sub(_blank_out, without_comments)
        self._commas = without_comments
        self.first_extra = _first_difference(text, self._plain)
        """The line of the first comment or trailing comma, None where there is neither."""
        try:
            self.content: dict[str, Any] = json.loads(self._plain, object_pairs_hook=_to_unique_dict)
        except json.JSONDecodeError as error:
            raise JsonTextError(f"line {error.lineno}: {error.msg}") from error
        except RecursionError as error:
            raise JsonTextError("it is nested too deeply") from error
        if not isinstance(self.content, dict):
            raise JsonTextError("it is no object ({…})")

    def set_member(self, path: Sequence[str], value: Any) -> str:
        """Return the text with the member at `path` set; objects on the way are made where they are missing.

        Raises JsonTextError where something on the way is no object.
        """
        at = self._skip_blanks(0)
        for depth, key in enumerate(path):
            if self._plain[at] != "{":
                raise JsonTextError(f"{'.'.join(path[:depth])} is no object ({{…}})")
            found = {member.key: member for member in self._list_members(at)}
            if key not in found:
                for missing in reversed(path[depth + 1 :]):
                    value = {missing: value}
                return self._insert_member(at, list(found.values()), key, value)
            member = found[key]
            at = member.value
        return self.text[:at] + self._render_value(value, self._indent_at(member.start)) + self.text[member.end :]

    def _list_members(self, start: int) -> Iterator[_Member]:
        """Yield the members of the object that begins at `start`."""
        decoder, at = json.JSONDecoder(), self._skip_blanks(start + 1)
        while self._plain[at] != "}":
            key, after = decoder.raw_decode(self._plain, at)
            value = self._skip_blanks(self._skip_blanks(after) + 1)
            _, end = decoder.raw_decode(self._plain, value)
            yield _Member(key, at, value, end)
            at = self._skip_blanks(end)
            if self._plain[at] == ",":
                at = self._skip_blanks(at + 1)

    def _insert_member(self, start: int, members: list[_Member], key: str, value: Any) -> str:
        """Insert a member at the end of the object that begins at `start`, below what is said behind the last one."""
        last = members[-1].end if members else start + 1
        close = self._skip_blanks(last)
        before = self.text[last:close].rstrip()
        has_comma = not members or "," in self._commas[last:close]
        around = self._indent_at(start)
        indent = self._indent_at(members[0].start, around + self._unit) if members else around + self._unit
        line = f"{self._newline}{indent}{json.dumps(key, ensure_ascii=False)}: {self._render_value(value, indent)}"
        behind = self.text[last + len(before) : close]
        if "\n" not in behind:
            behind = self._newline + around
        return f"{self.text[:last]}{'' if has_comma else ','}{before}{line}{behind}{self.text[close:]}"

    def _render_value(self, value: Any, indent: str) -> str:
        text = json.dumps(value, indent=self._unit, ensure_ascii=False)
        return text.replace("\n", self._newline + indent)

    def _skip_blanks(self, at: int) -> int:
        while self._plain[at] in " \t\r\n":
            at += 1
        return at

    def _indent_at(self, at: int, otherwise: str = "") -> str:
        """The indentation of the line that `at` is on; `otherwise` where `at` has to be its first character and is not.

        An object's brace stands behind its key, so the line's own indentation counts for it.
        """
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at]
        blank = line[: len(line) - len(line.lstrip(" \t"))]
        return otherwise if otherwise and blank != line else blank

    @property
    def _unit(self) -> str:
        found = _INDENT.search(self._plain)
        return found[1] if found else "  "

    @property
    def _newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"


def _blank_out(found: re.Match[str]) -> str:
    """Replace a comment or a trailing comma by blanks of the same length; a string stays."""
    return found[0] if found[0].startswith('"') else _LETTER.sub(" ", found[0])


def _first_difference(text: str, plain: str) -> int | None:
    at = next((at for at, (one, other) in enumerate(zip(text, plain, strict=True)) if one != other), None)
    return None if at is None else text.count("\n", 0, at) + 1


def _to_unique_dict(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise JsonTextError(f"{next(key for key in keys if keys.count(key) > 1)!r} is there twice in one object")
    return found
