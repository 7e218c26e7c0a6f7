"""What the lake holds, over REST: tables, columns, sample rows and functions, by the server's own tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from imdb_lakehouse.bridge import catalog
from imdb_lakehouse.bridge.answering import VisitorIdentity
from imdb_lakehouse.bridge.catalog import LakeUnavailableError, VisitorCatalog
from imdb_lakehouse.bridge.client import Lakehouse
from tests.bridge.rest import Site, Visitor, site
from tests.server.odd_lake import MANY, ODD_COLUMNS, ODD_NAMES, WIDE_COLUMNS, make_odd_lake


@pytest.fixture(scope="module")
def odd_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("odd-state")


@pytest.fixture(scope="module")
def odd(odd_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site on a lake of odd names, without a model."""
    lake = make_odd_lake(tmp_path_factory.mktemp("odd-lake"))
    with site(lake, odd_state, IMDB_MAX_RESULT_BYTES="12000", IMDB_CHAT_REQUESTS_PER_MINUTE="100000") as found:
        yield found


@pytest.fixture(scope="module")
def visitor(odd: Site) -> Visitor:
    return odd.visitor()


def ask(visitor: Visitor, kind: str, name: str) -> httpx2.Response:
    """Ask for a table by its name."""
    return visitor.client.get(f"/api/{kind}/{quote(name, safe='')}")


def test_all_tables_are_listed_with_what_they_are_for(visitor: Visitor) -> None:
    found = visitor.client.get("/api/tables")
    assert found.status_code == 200
    listed = {table["name"]: table for table in found.json()["tables"]}
    assert len(found.json()["tables"]) == MANY
    assert found.json()["truncated"] is False
    assert set(ODD_NAMES) < set(listed)
    assert listed["Größe"] == {
        "name": "Größe", "kind": "table", "purpose": "Called Größe.", "rows": 9, "key": [],
    }  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_columns_and_rows_of_a_table_come_by_its_exact_name(visitor: Visitor, name: str) -> None:
    columns = ask(visitor, "tables", name).json()
    assert columns == {
        "name": name,
        "columns": [{"name": one, "type": "string", "comment": f"The {one} of it."} for one in ODD_COLUMNS],
        "truncated": False,
    }
    rows = ask(visitor, "samples", name).json()
    assert [one["name"] for one in rows["columns"]] == list(ODD_COLUMNS)
    assert len(rows["rows"]) == 5
    assert all(row[0].startswith(name) for row in rows["rows"])


def test_of_more_columns_than_an_answer_may_have_the_first_come_and_it_is_said(visitor: Visitor) -> None:
    found = ask(visitor, "tables", "wide").json()
    assert [one["name"] for one in found["columns"][:2]] == ["column_000", "column_001"]
    assert 50 < len(found["columns"]) < WIDE_COLUMNS
    assert found["truncated"] is True
    assert ask(visitor, "samples", "wide").json()["rows"]


@pytest.mark.parametrize("kind", ["tables", "samples"])
@pytest.mark.parametrize(
    "name", ["nope", "../odd-state", "/etc/passwd", "wide` UNION SELECT 1 --", "a`b", "x\0y", "twin/sample"]
)
def test_what_is_no_table_is_told_so_and_read_from_nowhere(visitor: Visitor, kind: str, name: str) -> None:
    found = ask(visitor, kind, name)
    assert found.status_code == 404
    assert found.headers["content-type"] == "application/problem+json"
    detail = found.json()["detail"]
    assert len(detail) > 20
    assert "At line" not in detail  # of a statement that nobody wrote


def test_rows_that_cannot_be_read_are_told_why_and_what_to_do(visitor: Visitor) -> None:
    found = ask(visitor, "samples", "broken")
    assert found.status_code == 503
    assert found.headers["content-type"] == "application/problem+json"
    assert "broken" in found.json()["detail"]


def test_a_name_without_letters_or_too_long_does_not_fit(visitor: Visitor) -> None:
    for name in ("", "x" * 513):
        assert ask(visitor, "tables", name).status_code == 422


def test_functions_are_those_that_the_guard_allows(visitor: Visitor) -> None:
    from mcp_server.guard.functions import function_policy

    found = visitor.client.get("/api/functions").json()["functions"]
    told = {name: kind for kind, names in found.items() for name in names}
    assert told == dict(function_policy().allowed)  # and no AI functions: this lake lacks their tables


def test_a_browser_may_keep_the_answers_for_its_visitor_alone_and_no_error(odd: Site, visitor: Visitor) -> None:
    for path in ("/api/tables", "/api/tables/wide", "/api/samples/wide", "/api/functions"):
        headers = visitor.client.get(path).headers
        assert headers["cache-control"] == "private, max-age=60"
        assert "Authorization" in headers["vary"]
        refused = httpx2.get(f"{odd.url}{path}")
        assert refused.status_code == 401
        assert "cache-control" not in refused.headers
    assert "cache-control" not in ask(visitor, "tables", "nope").headers


def test_each_call_is_the_visitors_own_in_the_audit(odd: Site, odd_state: Path) -> None:
    somebody = odd.visitor()
    before = len((odd_state / "audit.jsonl").read_text().splitlines())
    assert ask(somebody, "tables", "wide").status_code == 200
    (line,) = (odd_state / "audit.jsonl").read_text().splitlines()[before:]
    assert json.loads(line)["sql_sent"] == "DESCRIBE `wide`"
    assert json.loads(line)["reasoning"] == "shown beside the SQL field"
    assert json.loads(line)["caller"].removeprefix("visitor-") == somebody.token.partition(".")[0]


@pytest.mark.anyio
async def test_rows_that_do_not_come_in_time_are_given_up_and_hold_nobody_up(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, somebody = VisitorCatalog(lakehouse, vouches=False), VisitorIdentity("somebody", "")
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "SAMPLE_SECONDS", 0)
        for _ in range(catalog.MAX_SAMPLES + 1):
            with pytest.raises(LakeUnavailableError, match="Try again in a minute"):
                await lake.read_sample(somebody, "movies_delta")
    assert len((await lake.read_sample(somebody, "movies_delta"))["rows"]) == catalog.SAMPLE_ROWS
