"""The typed tree of a checked statement: parsed, resolved, and analysed as Spark does, once."""

from __future__ import annotations

from mcp_server.models import TableInfo
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.typed.analysis import check_query
from mcp_server.sql.typed.parse_query import NotRead, parse_query
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Output, Query
from mcp_server.sql.typed.resolve import resolve_query
from mcp_server.sql.typed.scopes import TableSource
from mcp_server.sql.typed.subquery_analysis import check_subqueries
from mcp_server.sql.typed.types import parse_type

__all__ = ["NotRead", "find_typed", "read_typed"]


def read_typed(case: Case, catalog: Catalog) -> Query:
    """Return the typed tree of a statement, memoized: the catalogue is the one that the case was read with.

    Errors: SparkRefuses, where Spark refuses the statement; NotRead, where its grammar has no such query.
    """
    if read_typed not in case.memo:
        try:
            case.memo[read_typed] = _read(case, catalog)
        except (SparkRefuses, NotRead) as error:
            case.memo[read_typed] = error
    found: Query | SparkRefuses | NotRead = case.memo[read_typed]
    if isinstance(found, Exception):
        raise found
    return found


def find_typed(case: Case, catalog: Catalog) -> Query | None:
    """Return the typed tree of a statement, None where there is none or it is too deep: for what can do without."""
    try:
        return read_typed(case, catalog)
    except (SparkRefuses, NotRead, RecursionError):
        return None


def _read(case: Case, catalog: Catalog) -> Query:
    query = resolve_query(parse_query(case.source), _find_tables(case, catalog))
    check_query(query)
    check_subqueries(query)
    return query


def _find_tables(case: Case, catalog: Catalog) -> TableSource:
    """What the guard has found: which names are tables, and their columns, in the version that is asked for."""
    tables = {ref.first: info for ref, info in case.names.refs}

    def columns(info: TableInfo, at: int) -> tuple[Output, ...] | None:
        version = case.names.versions.get(at)
        listed = info.columns if version is None else catalog.columns(info.name, version)
        return None if listed is None else tuple(Output(each.name, parse_type(each.type)) for each in listed)

    return TableSource(tables.get, columns, tuple(part.lower() for part in catalog.schema.split(".")))
