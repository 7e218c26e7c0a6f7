"""Reads the tables and calls of a query from its tokens, without a tree.

A second and much simpler reader beside sqlglot. It knows where Spark's grammar has relations (after FROM and JOIN, and
after the commas between them) and calls (a name before a bracket), and nothing else. The tree must have the same tables
and calls, or the statement is refused: hostile text gets past one reader, and seldom past two that must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.refusal import clip
from mcp_server.sql.source import Source, is_plain_integer
from mcp_server.sql.words import (
    AFTER_OPERAND,
    BEFORE_BRACKET,
    CLAUSES,
    FROM_ARGUMENT,
    KEYWORDS,
    OPERAND_NEXT,
    QUERY_STARTS,
    STAR_NEXT,
    TRAVEL,
    WRITING,
)

MAX_RELATIONS = 128
"""Relations that one text may name, sub-queries included."""


@dataclass(frozen=True)
class TableRef:
    """A relation by name: tokens `first` to `last`, and up to `end` with `VERSION AS OF 3`."""

    first: int
    last: int
    end: int
    parts: tuple[str, ...]

    @property
    def travels(self) -> bool:
        """Whether the statement asks for a version."""
        return self.end > self.last


@dataclass(frozen=True)
class Reading:
    """The tables and calls of a query. `calls` maps the token of a called name to the name in lower case."""

    tables: tuple[TableRef, ...]
    calls: dict[int, str]


@dataclass
class _BracketLevel:
    """One level of brackets: its clause, whether a relation must come next, and the function before the bracket."""

    clause: str = ""
    expects: bool = False
    called: str = ""
    listing: bool = False


@dataclass
class _ClauseReader:
    source: Source
    tables: list[TableRef] = field(default_factory=list)
    calls: dict[int, str] = field(default_factory=dict)
    levels: list[_BracketLevel] = field(default_factory=lambda: [_BracketLevel()])
    relations: int = 0

    def read_all(self) -> Reading:
        tokens, index = self.source.tokens, 0
        while index < len(tokens):
            index = self.read_token(index, tokens[index])
        return Reading(tuple(self.tables), self.calls)

    def read_token(self, index: int, token: Token) -> int:
        """Read the token at `index` and return the index of the next one to read."""
        self.check_quoted(index)
        level, key = self.levels[-1], token.key
        if key == "(":
            self.open_bracket(index)
        elif key == ")":
            self.levels.pop()
        elif key == ",":
            level.expects = level.clause == "FROM" and not level.listing
        elif (key == "TABLE" and self.source.key(index - 1) != ".") or (key == "STREAM" and level.expects):
            raise self.source.refusal_at(
                "syntax", f"{token.text} is not allowed here. Read a table by its name.", index
            )
        elif level.expects and key not in {"LATERAL", "VALUES"}:
            return self.read_relation(index)
        elif self.is_keyword(index, key):
            self.read_keyword(index, key)
        elif token.is_name and self.source.key(index + 1) == "(":
            self.note_call(index)
        elif token.is_name and level.listing:
            level.listing = False
        return index + 1

    def check_quoted(self, index: int) -> None:
        """Refuse a string where only a name may stand: after AS and after a full stop."""
        source, tokens = self.source, self.source.tokens
        if source.key(index - 1) not in {"AS", "."} or tokens[index].kind is not Kind.STRING:
            return
        name = clip(tokens[index].text[1:-1])
        where, form = ("a full stop", f"`{name}`") if source.key(index - 1) == "." else ("AS", f"AS `{name}`")
        raise source.refusal_at(
            "syntax", f"Quotes make a string, and a name is expected after {where}: write {form}.", index
        )

    def open_bracket(self, index: int) -> None:
        level, following = self.levels[-1], self.source.key(index + 1)
        nested = level.expects and following not in QUERY_STARTS
        level.expects = False
        called = self.source.key(index - 1) if index - 1 in self.calls else ""
        self.levels.append(_BracketLevel("FROM" if nested else "", nested, called))

    def is_keyword(self, index: int, key: str) -> bool:
        known = key in CLAUSES or key in {"FROM", "JOIN", "LATERAL", "VALUES", "WITH", "ON", "USING"} or key in WRITING
        return known and self.source.key(index - 1) != "."

    def read_keyword(self, index: int, key: str) -> None:
        level, source = self.levels[-1], self.source
        before, after = source.key(index - 1), source.key(index + 1)
        if key in CLAUSES:
            self.enter_clause(index, key, after)
        elif key == "WITH":
            self.check_options(index, after)
        elif key in {"FROM", "JOIN"}:
            distinct = before == "DISTINCT" and source.key(index - 2) in {"IS", "NOT"}
            if key == "JOIN" or not (distinct or level.called in FROM_ARGUMENT):
                level.clause, level.expects, level.listing = "FROM", True, False
        elif key == "LATERAL":
            self.check_lateral(index, after)
        elif key == "VALUES":
            self.check_values(index)
            level.listing, level.clause, level.expects = level.expects, "FROM" if level.expects else key, False
        elif key == "USING" and after != "(":
            raise source.refusal_at("not_a_query", "USING with a program or a format is not allowed here.", index)
        elif key in WRITING:
            self.check_writing(index, key)

    def check_lateral(self, index: int, after: str) -> None:
        """Expect a view, a sub-query in brackets or a function. sqlglot also reads a bare SELECT; engines do not."""
        level = self.levels[-1]
        if after == "VIEW" and not level.expects:
            level.clause = "VIEW"
        elif level.clause in {"FROM", "VIEW"} and after != "(" and self.source.key(index + 2) != "(":
            raise self.source.refusal_at(
                "syntax", "LATERAL is followed by VIEW, by a sub-query in brackets, or by a function.", index
            )

    def enter_clause(self, index: int, key: str, after: str) -> None:
        if key == "WINDOW" and after == "(":
            self.note_call(index)
        else:
            self.levels[-1].clause, self.levels[-1].expects = key, False

    def check_values(self, index: int) -> None:
        """Expect rows after VALUES. Before a bare name, Spark reads `VALUES` as the name of a table."""
        tokens, following = self.source.tokens, self.source.key(index + 2)
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        typed = index + 2 < len(tokens) and tokens[index + 2].kind is Kind.STRING
        row = after is not None and (
            after.kind in {Kind.NUMBER, Kind.STRING}
            or after.key in {"(", "-", "+", "NULL", "TRUE", "FALSE"}
            or (after.is_name and (following == "(" or typed))
        )
        if not row:
            raise self.source.refusal_at(
                "syntax", "VALUES is followed by rows, as in VALUES (1, 'a'), (2, 'b').", index
            )

    def check_options(self, index: int, after: str) -> None:
        """Expect names of queries or ROLLUP after WITH, and no options of a table, which could name a path."""
        if after == "(":
            raise self.source.refusal_at("syntax", "Options after a table are not allowed: leave out WITH (…).", index)
        if after not in {"ROLLUP", "CUBE"}:
            self.levels[-1].clause = "WITH"

    def check_writing(self, index: int, key: str) -> None:
        """Refuse a second statement after a harmless beginning. Functions and columns may have such a name."""
        before, after = self.source.key(index - 1), self.source.key(index + 1)
        if after == "(" and key in {"MAP", "REDUCE"}:
            self.note_call(index)
        elif before in {"", ")"} or key == "INSERT" or self.levels[-1].clause == "FROM":
            raise self.source.refusal_at(
                "not_a_query", f"{key} is not allowed: this server only answers queries, such as SELECT.", index
            )

    def read_relation(self, index: int) -> int:
        """Read the relation that must begin at `index`: the name of a table, or a function."""
        source, tokens = self.source, self.source.tokens
        token = tokens[index]
        self.relations += 1
        if self.relations > MAX_RELATIONS:
            raise source.refusal_at("too_many_reads", f"The statement names more than {MAX_RELATIONS} tables.", index)
        if not token.is_name or token.key in KEYWORDS:
            if token.kind is Kind.STRING:
                raise source.refusal_at(
                    "path_as_table", f"{clip(token.text)} is a path or text, and only tables can be read.", index
                )
            raise source.refusal_at("syntax", f"A table is expected here, not {clip(token.text)}.", index)
        last, parts = index, [token.name]
        while source.key(last + 1) == "." and last + 2 < len(tokens) and tokens[last + 2].is_name:
            last += 2
            parts.append(tokens[last].name)
        self.levels[-1].expects = False
        if source.key(last + 1) == "(":
            self.note_call(last)
            return last + 1
        end = self.read_version(last)
        if not self.may_follow(end + 1):
            raise source.refusal_at(
                "syntax",
                f"{clip(tokens[end + 1].text)} cannot follow a table: write AS and a name, or a clause.",
                end + 1,
            )
        self.tables.append(TableRef(index, last, end, tuple(parts)))
        return end + 1

    def read_version(self, last: int) -> int:
        """Return the index of the last token of `VERSION AS OF 3` after a table, or `last` where there is none."""
        source, tokens = self.source, self.source.tokens
        at = last + (2 if source.key(last + 1) == "FOR" else 1)
        word = source.key(at)
        if word not in TRAVEL:
            return last
        value = tokens[at + 3] if at + 3 < len(tokens) else None
        versioned = "VERSION" in word
        plain = value is not None and (is_plain_integer(value) if versioned else value.kind is Kind.STRING)
        ended = self.may_follow(at + 4)
        if source.key(at + 1) != "AS" or source.key(at + 2) != "OF" or not plain or not ended:
            form = "VERSION AS OF 3" if versioned else "TIMESTAMP AS OF '2026-01-01'"
            raise source.refusal_at("time_travel", f"An old version is asked for by a plain value, as in {form}.", at)
        return at + 3

    def may_follow(self, index: int) -> bool:
        """Whether a table may end before the token at `index`: an alias, a clause, a comma or nothing follows."""
        after = self.source.tokens[index] if index < len(self.source.tokens) else None
        return after is None or after.is_name or after.key in {")", ",", "|>"}

    def note_call(self, index: int) -> None:
        """Note the call of the name at `index`, unless it is a table or CTE with its columns."""
        key = self.source.key(index)
        if key in BEFORE_BRACKET and self.source.key(index - 1) != "." and not self.is_misplaced(index, key):
            return
        if self.names_columns(index):
            self.levels[-1].listing = False
        else:
            self.calls[index] = self.source.tokens[index].name

    def is_misplaced(self, index: int, key: str) -> bool:
        """Whether a keyword stands where only a name may: Spark then reads a call of a function of that name."""
        before = self.source.key(index - 1)
        if key in {"CUBE", "ROLLUP"}:
            grouping = any(level.clause == "GROUP" for level in self.levels)
            return not grouping or self.source.key(index + 2) == ")"
        if key == "EXCEPT" and before == "*":
            return self.source.key(index - 2) not in STAR_NEXT
        return before in OPERAND_NEXT and (key in AFTER_OPERAND or (key == "ALL" and before == "BY"))

    def names_columns(self, index: int) -> bool:
        """Whether `name (a, b)` gives names to columns: `WITH t (a)`, `AS t (a, b)`, `(…) t (a)`."""
        source, clause = self.source, self.levels[-1].clause
        before = source.tokens[index - 1] if index else None
        if before is None:
            return False
        if clause == "WITH":
            return before.key in {"WITH", "RECURSIVE", ","}
        tokens = source.tokens[index + 2 : source.closing[index + 1]]
        if not tokens or any(not t.is_name and t.key != "," for t in tokens):
            return False
        named = (
            before.key in {"AS", ")", "]"}
            or before.kind in {Kind.STRING, Kind.NUMBER}
            or (before.is_name and before.key not in KEYWORDS)
        )
        return clause in {"FROM", "VALUES"} and named


def read_clauses(source: Source) -> Reading:
    """Read the tables and calls of a query from its tokens.

    Errors: Refused, with the code `syntax`, `path_as_table`, `time_travel` or `not_a_query`.
    """
    return _ClauseReader(source).read_all()
