"""What runs is the sender's own text, with comments left out and table names spliced, and nothing else."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

import mcp_server
from lakehouse.errors import Refused
from mcp_server import checking
from mcp_server.models import CheckedQuery, Explain, Principal, RowLimit, ShowColumns, ShowTables, TableInfo
from mcp_server.sql.lexer import tokenize
from tests.guard.conftest import PINS, SETTINGS, TABLES, Check, Verdict
from tests.guard.test_corpora import HONEST

M, R = PINS["movies_delta"], PINS["ratings_delta"]
_NO_QUERY = re.compile(r"\s*(--.*\n|\s)*(SHOW|DESC|EXPLAIN)", re.IGNORECASE)
QUERIES = [x for x in HONEST if not _NO_QUERY.match(x["sql"]) and x["class"] != "ai-ok"]


@pytest.mark.parametrize(
    ("sent", "runs"),
    [
        ("SELECT * FROM MOVIES_DELTA m", f"SELECT * FROM imdb.movies_delta VERSION AS OF {M} m"),
        ("select*from`imdb`.`movies_delta`", f"select*from imdb.movies_delta VERSION AS OF {M}"),
        ("SELECT 1 /* a */ -- b\n, 'it''s -- /* \\' */'", "SELECT 1 , 'it''s -- /* \\' */'"),
        ("SELECT 1;; ", "SELECT 1"),
        ("SELECT * FROM movies_delta VERSION AS OF 0", "SELECT * FROM imdb.movies_delta VERSION AS OF 0"),
        (
            "SELECT * FROM movies_delta TABLESAMPLE (3 ROWS) AS x",
            f"SELECT * FROM imdb.movies_delta VERSION AS OF {M} TABLESAMPLE (3 ROWS) AS x",
        ),
        ("TABLE ratings_delta", f"SELECT * FROM imdb.ratings_delta VERSION AS OF {R}"),
        (
            "WITH ratings_delta AS (SELECT * FROM ratings_delta) SELECT * FROM ratings_delta",
            f"WITH ratings_delta AS (SELECT * FROM imdb.ratings_delta VERSION AS OF {R}) SELECT * FROM ratings_delta",
        ),
        (
            "SELECT * FROM(movies_delta JOIN ratings_delta r USING(tconst))",
            f"SELECT * FROM(imdb.movies_delta VERSION AS OF {M} JOIN imdb.ratings_delta VERSION AS OF {R} r USING(tconst))",  # noqa: E501  (one text)
        ),
        ("SELECT/*+ MERGE(m) */1", "SELECT 1"),
        ("FROM ratings_delta|>LIMIT 2", f"FROM imdb.ratings_delta VERSION AS OF {R}|>LIMIT 2"),
    ],
)
def test_names_are_spelled_and_pinned_and_comments_left_out(sent: str, runs: str, check: Check) -> None:
    assert check(sent).sql == runs


@pytest.mark.parametrize("line", QUERIES, ids=lambda x: x["id"])
def test_nothing_but_names_and_versions_is_added(line: dict[str, str], check: Check) -> None:
    checked = check(line["sql"])

    runs = re.sub(r"(?i)imdb\.(\w+)( VERSION AS OF \d+)?", r"\1", checked.sql)
    sent = " ".join(t.text for t in tokenize(line["sql"], 10_000))
    sent = re.sub(r"(?i)(spark_catalog \. )?`?imdb`? \. `?(\w+)`?( VERSION AS OF \d+)?", r"\2", sent.rstrip("; "))
    sent = re.sub(r"(?i) LIMIT ALL\b", "", sent)
    sent = re.sub(r"(?i)((?:^|\( )\s*)TABLE ", r"\1SELECT * FROM ", sent)
    assert _words(runs) == _words(sent)


def _words(text: str) -> list[str]:
    words = [t.text if t.kind.value == "string" else t.name for t in tokenize(text, 10_000)]
    joined = " ".join(words)
    return re.sub(r"( for)? (system_)?version as of \d+", "", joined).split()


@pytest.mark.parametrize("line", QUERIES, ids=lambda x: x["id"])
def test_what_runs_is_allowed_again_and_runs_the_same(line: dict[str, str], check: Check) -> None:
    first = check(line["sql"])

    again = check(first.sql)

    assert again.sql == first.sql
    assert again.tables == first.tables
    assert again.functions == first.functions


@pytest.mark.parametrize("seed", range(8))
def test_comments_blanks_and_case_change_no_verdict(seed: int, check: Check, verdict: Verdict) -> None:
    chance = random.Random(seed)
    for line in chance.sample(QUERIES, 40):
        said = verdict(line["sql"])
        dressed = _dressed(line["sql"], chance)

        again = verdict(dressed)

        assert (again.allow, again.limit) == (said.allow, said.limit), dressed
        assert check(dressed).tables == check(line["sql"]).tables


def _dressed(sql: str, chance: random.Random) -> str:
    """The same statement with other blanks, comments and case of words."""
    pieces = []
    for token in tokenize(sql, 10_000):
        gap = "" if token.glued else " "
        if gap or (chance.random() < 0.2 and token.key in {"(", ")", ","}):
            gap = chance.choice([" ", "\n", "\t ", " /* ; DROP */ ", " -- x\n", "/**/ "])
        text = token.text
        if token.kind.value == "word":
            text = chance.choice([text, text.upper(), text.lower(), text.swapcase()])
        pieces.append(gap + text)
    return "".join(pieces)


def test_tables_and_functions_are_reported(check: Check) -> None:
    checked = check(
        "WITH x AS (SELECT upper(tconst) t FROM Movies_Delta) "
        "SELECT Count(*) FROM x JOIN ratings_delta r ON r.tconst = x.t"
    )

    assert checked.tables == {"movies_delta", "ratings_delta"}
    assert checked.functions == {"upper", "count"}
    assert checked.pins == {"movies_delta": M, "ratings_delta": R}


def test_without_pins_the_latest_version_is_read() -> None:
    settings = {**SETTINGS, "catalog": checking.Catalog("imdb", TABLES)}

    checked = checking.check("SELECT * FROM movies_delta", **settings)

    assert isinstance(checked, CheckedQuery)
    assert checked.sql == "SELECT * FROM imdb.movies_delta"
    assert checked.pins == {}


def test_a_catalogue_stands_before_the_schema_and_odd_names_in_back_quotes() -> None:
    odd = TableInfo(name="Top-250", kind="table", comment="", columns=())
    settings = {**SETTINGS, "catalog": checking.Catalog("main.imdb", (*TABLES, odd))}

    for sent in ("SELECT * FROM `top-250`", "SELECT * FROM imdb.`Top-250`", "SELECT * FROM main.IMDB.`TOP-250`"):
        checked = checking.check(sent, **settings)
        assert isinstance(checked, CheckedQuery)
        assert checked.sql == "SELECT * FROM main.imdb.`Top-250`"
    assert not checking.verdict("SELECT * FROM main.hr.movies_delta", **settings).allow
    assert not checking.verdict("SELECT * FROM main.movies_delta", **settings).allow


@pytest.mark.parametrize(
    ("sql", "row_limit", "rows"),
    [
        ("SELECT 1", None, 1_000),
        ("SELECT 1", 10, 10),
        ("SELECT 1", 10_000, 1_000),
        ("SELECT * FROM movies_delta LIMIT 7", None, 7),
        ("SELECT * FROM movies_delta LIMIT 7", 3, 3),
        ("SELECT * FROM movies_delta LIMIT 999999", None, 1_000),
        ("SELECT * FROM (SELECT * FROM movies_delta LIMIT 7)", None, 1_000),
        ("SELECT 1 UNION ALL SELECT 2 LIMIT 1", None, 1),
        ("SELECT 1 UNION ALL (SELECT 2 LIMIT 1)", None, 1_000),
        ("FROM movies_delta |> LIMIT 4", None, 4),
    ],
)
def test_the_row_limit_is_lowered_and_never_raised(sql: str, row_limit: int | None, rows: int, check: Check) -> None:
    assert check(sql, row_limit=row_limit).limit == RowLimit(rows)


@pytest.mark.parametrize("row_limit", [0, -1])
def test_a_row_limit_below_one_is_refused(row_limit: int, verdict: Verdict) -> None:
    assert verdict("SELECT 1", row_limit=row_limit).code == "row_limit"


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SHOW TABLES", ShowTables()),
        ("show tables in IMDB like 'movie*';", ShowTables(pattern="movie*")),
        ("SHOW TABLES 'a|b'", ShowTables(pattern="a|b")),
        ("SHOW VIEWS FROM imdb", ShowTables(views_only=True)),
        ("SHOW COLUMNS IN Movies_Delta IN imdb", ShowColumns("movies_delta")),
        ("SHOW COLUMNS FROM imdb.`movies_delta`", ShowColumns("movies_delta")),
        ("DESC TABLE movie_cast", ShowColumns("movie_cast", describe=True)),
    ],
)
def test_metadata_statements_are_typed(sql: str, answer: object, check: Check) -> None:
    assert check(sql) == answer


@pytest.mark.parametrize(("word", "mode"), [("", "simple"), ("FORMATTED", "formatted"), ("extended", "extended")])
def test_an_explained_query_is_checked_like_any_other(word: str, mode: str, check: Check) -> None:
    explained = check(f"EXPLAIN {word} SELECT * FROM ratings_delta")

    assert isinstance(explained, Explain)
    assert explained.mode == mode
    assert explained.query.sql == f"SELECT * FROM imdb.ratings_delta VERSION AS OF {R}"


def test_only_the_guard_makes_a_checked_query(check: Check) -> None:
    checked = check("SELECT 1")

    with pytest.raises(TypeError, match="Only the guard"):
        CheckedQuery(
            sent="", sql="", tables=frozenset(), functions=frozenset(), limit=checked.limit, deadline_seconds=1,
            principal=Principal("x"), pins={}, rewrites=(), seal=object(),
        )  # fmt: skip


def test_only_one_module_of_the_guard_has_the_seal_of_a_checked_query() -> None:
    folder = Path(mcp_server.__file__).parent
    having = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if "GUARD_SEAL" in path.read_text("utf-8")
    }

    assert having == {"models.py", "guard/approval.py"}


def test_a_refusal_names_the_place_the_reason_and_what_exists(verdict: Verdict) -> None:
    said = verdict("SELECT *\nFROM movis_delta")

    assert said.code == "unknown_table"
    assert said.message == "There is no table movis_delta. Did you mean movies_delta? (At line 2, column 6.)"


def test_a_refusal_is_an_error_with_its_code(check: Check) -> None:
    with pytest.raises(Refused) as refusal:
        check("DROP TABLE movies_delta")

    assert refusal.value.code == "not_a_query"
    assert refusal.value.exit_code == 3
