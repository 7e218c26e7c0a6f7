"""What a caller is told of a query's cost before it runs, and the budget that stops it."""

from __future__ import annotations

import pytest

from lakehouse.errors import ResourceLimit
from lakehouse.manifest import Column
from mcp_server.models import (
    GUARD_SEAL,
    CheckedQuery,
    Estimate,
    Filter,
    Principal,
    RowLimit,
    Scan,
    ScanEstimate,
    TableInfo,
)
from mcp_server.results.estimate import check_budget, dry_run

MIB = 1 << 20
FILMS = ScanEstimate("films", 7, files=2, files_total=9, bytes=3 * MIB, bytes_total=40 * MIB, rows=12_000)
SCORES = ScanEstimate("scores", None, files=1, files_total=1, bytes=512, bytes_total=512, rows=None)
IN_ORDER = TableInfo("films", "table", "", (Column(name="year", type="int"),), clustered_by=("year", "id"))


def query(*scans: Scan, **changes: object) -> CheckedQuery:
    tables = frozenset(scan.table for scan in scans)
    made = {"pins": {}, "rewrites": (), "scans": scans} | changes
    return CheckedQuery(
        "sent", "SELECT 1", tables, frozenset(), RowLimit(500), 30.0, Principal("x"), seal=GUARD_SEAL, **made
    )


OF_A_YEAR = Scan("films", None, (Filter("year", ">=", (2020,)), Filter("id", "in", ("a", "b", "c", "d"))))


def test_a_dry_run_says_in_few_lines_what_would_be_read_and_run() -> None:
    text, structured = dry_run(
        query(
            OF_A_YEAR,
            Scan("scores", None),
            rewrites=("qualify",),
            caveats=("A sum may wrap around.",),
            advice=("scored holds it: SELECT 2",),
        ),
        Estimate((FILMS, SCORES), exact=True),
        engine="embedded",
    )

    assert text.splitlines() == [
        "dry run, allowed, nothing was run; engine embedded, at most 500 rows",
        "Reads at most 3.0 MiB in 3 files.",
        (
            "- films version 7: 2 of 9 files, 3.0 MiB of 40.0 MiB, at most 12,000 rows, by year >= 2020 and "
            "id in ('a', 'b', 'c', …)"
        ),
        "- scores: 1 of 1 file, 512 bytes of 512 bytes, rows not known, no condition",
        "Runs (rewritten: qualify): SELECT 1",
        "Warning: A sum may wrap around.",
        "Better: scored holds it: SELECT 2",
    ]
    assert structured.model_dump() == {
        "status": "dry_run",
        "engine": "embedded",
        "sql": "SELECT 1",
        "rewrites": ["qualify"],
        "tables": [vars(FILMS), vars(SCORES)],
        "files": 3,
        "bytes": 3 * MIB + 512,
        "upper_bound": False,
        "row_limit": 500,
        "refused": None,
        "warnings": ["A sum may wrap around."],
        "advice": ["scored holds it: SELECT 2"],
        "ai": None,
    }


def test_where_an_engine_knows_whole_tables_only_the_numbers_are_called_an_upper_bound() -> None:
    text, structured = dry_run(
        query(OF_A_YEAR, Scan("best", None)), Estimate((FILMS,), exact=False), engine="databricks"
    )

    assert structured.upper_bound
    assert "an upper bound: whole tables" in text
    assert "Not counted, because the engine does not tell their size: best." in text
    assert "year >= 2020" not in text


def test_a_statement_without_tables_reads_none() -> None:
    text, _ = dry_run(query(), Estimate((), exact=True), engine="embedded")

    assert "Reads no table." in text


def test_a_dry_run_of_what_the_budget_stops_says_so() -> None:
    text, structured = dry_run(
        query(OF_A_YEAR), Estimate((FILMS,), exact=True), engine="embedded", refused="Too much of films."
    )

    assert text.startswith("dry run, would be refused, nothing was run")
    assert "Too much of films." in text
    assert structured.refused == "Too much of films."


@pytest.mark.parametrize("budget", [None, 3, 4.5])
def test_a_query_within_its_budget_passes(budget: float | None) -> None:
    check_budget(query(OF_A_YEAR), Estimate((FILMS,), exact=True), (IN_ORDER,), budget)


@pytest.mark.parametrize(
    ("scan", "says"),
    [
        (Scan("films", None), r"ordered by year, id: a condition on year, .* leaves at most 1 of its 9 files"),
        (Scan("films", None, (Filter("year", ">", (1,)),)), r"a condition on id, .* at most 1 of its 9 files"),
        (OF_A_YEAR, r"a narrower condition on year, .* at most 1 of its 9 files"),
    ],
)
def test_a_query_above_its_budget_learns_which_condition_would_bring_it_below(scan: Scan, says: str) -> None:
    with pytest.raises(ResourceLimit, match=says) as limit:
        check_budget(query(scan), Estimate((FILMS,), exact=True), (IN_ORDER,), 2)

    assert limit.value.code == "scan_budget"
    assert str(limit.value).startswith(
        "The query would read 3.0 MiB in 2 files, and one query may read 2.0 MiB (IMDB_MAX_SCAN_MB). films takes 3.0 "
        "MiB of it."
    )


@pytest.mark.parametrize(
    ("estimate", "tables", "budget", "says"),
    [
        (Estimate((FILMS,), exact=True), (), 2, "No condition on one column is known"),
        (Estimate((FILMS,), exact=True), (IN_ORDER,), 1, "No condition on one column is known"),
        (Estimate((FILMS, FILMS), exact=True), (IN_ORDER,), 3, "No condition on one column is known"),
        (Estimate((FILMS,), exact=False), (IN_ORDER,), 2, "a condition does not count"),
    ],
)
def test_where_no_condition_is_known_to_help_another_way_is_named(
    estimate: Estimate, tables: tuple[TableInfo, ...], budget: int, says: str
) -> None:
    with pytest.raises(ResourceLimit, match=rf"{says}.*larger budget"):
        check_budget(query(OF_A_YEAR), estimate, tables, budget)
