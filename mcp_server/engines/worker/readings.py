"""Reads a text with the engine's own parser and analyser, in the engine's process and without running the text.

Spark has two readings: its parser returns the plan as written, before any name is resolved, and its analyser the
leaves after all views are expanded. Sail resolves names and expands views in one step, and first rejects a text
that is no query ("expected query node"). Spark returns objects, Sail a text that quotes the statement's
own strings and names without escapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.session import Stage
    from lakehouse.settings import Runtime

_ELSEWHERE = "a table elsewhere"
"""The name of a leaf that is no known table; its location is not disclosed."""

_FILES = "org.apache.spark.sql.execution.datasources.HadoopFsRelation"

_PACKAGES = re.compile(r"org\.apache\.spark\.sql\.catalyst\.(?:plans\.logical|analysis|expressions(?:\.aggregate)?)\.")


@dataclass
class PlanReading:
    """The tables, called names and kinds of nodes of a plan."""

    tables: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    def to_fields(self) -> dict[str, list[str]]:
        return {name: sorted(values) for name, values in vars(self).items()}


Names = Mapping[str, str]
"""The name of each known table by its location, as registered with the engine."""

Reader = Callable[["SparkSession", str, Names], PlanReading]


def _parse_with_spark(session: SparkSession, sql: str, _names: Names) -> PlanReading:
    """Read the parser's plan. Spark's own JSON of it holds every node but the definitions of named windows."""
    plan = _get_jvm_session(session).sessionState().sqlParser().parsePlan(sql)
    found = PlanReading()
    for node in _walk_nodes(json.loads(plan.toJSON())):
        kind = _PACKAGES.sub("", node["class"]).partition("$")[0]  # objects and anonymous classes have a tail
        found.kinds.add(kind)
        if kind == "UnresolvedRelation":
            found.tables.add(_parse_name_list(node["multipartIdentifier"]))
        elif kind == "UnresolvedFunction":
            found.functions.add(_parse_name_list(node["nameParts"]))
        elif kind == "UnresolvedTableValuedFunction":
            found.functions.add(_parse_name_list(node["name"]))
        elif kind == "UnresolvedGenerator":
            found.functions.add(node["name"]["funcName"].lower())
    return found


def _resolve_with_spark(session: SparkSession, sql: str, names: Names) -> PlanReading:
    """Read the leaves of the analysed plan: the analysis looks up names and types only."""
    found = PlanReading()
    plans = [_get_jvm_session(session).sql(sql).queryExecution().analyzed()]
    while plans:
        plan = plans.pop()
        plans += _iterate_sequence(plan.subqueriesAll())
        for leaf in _iterate_sequence(plan.collectLeaves()):
            kind = leaf.getClass().getSimpleName().rstrip("$")
            found.kinds.add(kind)
            if kind == "LogicalRelation":
                found.tables.add(_find_table(session, leaf.relation(), names))
    return found


def _find_table(session: SparkSession, relation: Any, names: Names) -> str:
    """Return the table whose files a relation reads; any other relation, such as one over JDBC, is elsewhere."""
    from py4j.java_gateway import is_instance_of

    if not is_instance_of(session.sparkContext._gateway, relation, _FILES):  # noqa: SLF001  (nothing public)
        return _ELSEWHERE
    roots = {root.toUri().getPath() for root in _iterate_sequence(relation.location().rootPaths())}
    return names.get(roots.pop().rstrip("/"), _ELSEWHERE).lower() if len(roots) == 1 else _ELSEWHERE


_SAIL_FIRST = "== Parsed Logical Plan ==\n"
_SAIL_SECOND = "\n\n== Analyzed Logical Plan ==\n"
_SAIL_STRING = 'Utf8("'
_SAIL_STRING_END = '")'
_SAIL_NODE = re.compile(r"^ *([A-Z][A-Za-z]*(?: [A-Z][A-Za-z]*)*)(?:: (.*)|:?)$", re.MULTILINE)
_SAIL_CALL = re.compile(r"\b([a-z_][a-z0-9_]*)\(")


def _resolve_with_sail(session: SparkSession, sql: str, _names: Names) -> PlanReading:
    """Read the text of the logical plan: a line for each node, and a `TableScan` line for each leaf.

    The content of a string may add to the reading and never removes from it.
    """
    from pyspark.sql.connect.plan import SQL

    client: Any = session.client
    report = client.explain_string(SQL(sql).to_proto(client), "extended")
    plan = _extract_plan(_remove_strings(report, sql))
    found = PlanReading(functions=set(_SAIL_CALL.findall(plan)))
    for kind, what in _SAIL_NODE.findall(plan):
        found.kinds.add(kind.rpartition(" ")[2])  # of `Left Join` the join
        if kind == "TableScan":
            found.tables.add(what.lower())
    return found


def _remove_strings(report: str, sql: str) -> str:
    """Remove the content of string literals from a report: it may look like a heading, a node or a call.

    A string is removed up to the first `")`, which is its end or precedes it. Only a name in back-quotes
    could open one that a later string closes: a statement that holds such an opening keeps all its strings.
    """
    if _SAIL_STRING in sql:
        return report
    kept, at = [], 0
    while (start := report.find(_SAIL_STRING, at)) >= 0:
        # From the opening quote on: what looks like an opening may end with the quote of the string that holds it.
        end = report.find(_SAIL_STRING_END, start + len(_SAIL_STRING) - 1)
        if end < 0:
            break
        kept += [report[at:start], "Utf8()"]
        at = end + len(_SAIL_STRING_END)
    return "".join([*kept, report[at:]])


def _extract_plan(report: str) -> str:
    """Return the resolved plan, before optimization. Raises ValueError where its end is not certain."""
    plan, *others = report.split(_SAIL_SECOND)
    if len(others) > 1:
        raise ValueError(
            "A string or a name of this statement holds what is a heading in the engine's plan, so the plan cannot be "
            "read. Leave out the line that begins with ==."
        )
    if not others or not plan.startswith(_SAIL_FIRST):
        raise ValueError("The engine's plan has another form than the one that this version of it had.")
    return plan.removeprefix(_SAIL_FIRST)


READERS: Mapping[Runtime, Mapping[Stage, Reader]] = {
    "embedded": {"resolved": _resolve_with_sail},
    "spark": {"parsed": _parse_with_spark, "resolved": _resolve_with_spark},
}


def _get_jvm_session(session: SparkSession) -> Any:
    return session._jsparkSession  # noqa: SLF001  (nothing public leads to the parser)


def _walk_nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of Spark's JSON, including those within tuples, options and expressions."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            if "class" in each:
                yield each
            stack.extend(each.values())
        elif isinstance(each, list):
            stack.extend(each)


def _parse_name_list(parts: str) -> str:
    """Convert `[imdb, movies_delta]`, Spark's form of a list of names, to `imdb.movies_delta`."""
    return parts[1:-1].replace(", ", ".").lower()


def _iterate_sequence(scala_sequence: Any) -> Iterator[Any]:
    iterator = scala_sequence.iterator()
    while iterator.hasNext():
        yield iterator.next()
