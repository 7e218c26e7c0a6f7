"""What an engine itself reads in a text, asked in its process and without running anything of the text.

Spark is asked twice: its parser gives the plan as written, before any name is looked up, and its analyser the
leaves once every view is opened. Sail resolves names and opens views in one step, and refuses whatever is no
query ("expected query node") before it does so. Spark answers in objects, Sail in a text that quotes the statement's
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
"""What is said of a leaf that is none of the tables at hand; where it lies is nobody's business."""

_FILES = "org.apache.spark.sql.execution.datasources.HadoopFsRelation"

_PACKAGES = re.compile(r"org\.apache\.spark\.sql\.catalyst\.(?:plans\.logical|analysis|expressions(?:\.aggregate)?)\.")


@dataclass
class Found:
    """The tables, called names and kinds of nodes of a plan."""

    tables: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    def fields(self) -> dict[str, list[str]]:
        return {name: sorted(values) for name, values in vars(self).items()}


Names = Mapping[str, str]
"""The location of each table at hand, as the engine was told it, and what to call the table."""

Reader = Callable[["SparkSession", str, Names], Found]


def _parsed_by_spark(session: SparkSession, sql: str, _names: Names) -> Found:
    """The parser's plan. Spark's own JSON of it holds every node but the definitions of named windows."""
    plan = _jvm_session(session).sessionState().sqlParser().parsePlan(sql)
    found = Found()
    for node in _nodes(json.loads(plan.toJSON())):
        kind = _PACKAGES.sub("", node["class"]).partition("$")[0]  # objects and anonymous classes have a tail
        found.kinds.add(kind)
        if kind == "UnresolvedRelation":
            found.tables.add(_unlisted(node["multipartIdentifier"]))
        elif kind == "UnresolvedFunction":
            found.functions.add(_unlisted(node["nameParts"]))
        elif kind == "UnresolvedTableValuedFunction":
            found.functions.add(_unlisted(node["name"]))
        elif kind == "UnresolvedGenerator":
            found.functions.add(node["name"]["funcName"].lower())
    return found


def _resolved_by_spark(session: SparkSession, sql: str, names: Names) -> Found:
    """The leaves of the analysed plan: nothing but names and types is looked up for it."""
    found = Found()
    plans = [_jvm_session(session).sql(sql).queryExecution().analyzed()]
    while plans:
        plan = plans.pop()
        plans += _items(plan.subqueriesAll())
        for leaf in _items(plan.collectLeaves()):
            kind = leaf.getClass().getSimpleName().rstrip("$")
            found.kinds.add(kind)
            if kind == "LogicalRelation":
                found.tables.add(_table_at(session, leaf.relation(), names))
    return found


def _table_at(session: SparkSession, relation: Any, names: Names) -> str:
    """The table whose files a relation reads; any other relation, such as one over JDBC, is elsewhere."""
    from py4j.java_gateway import is_instance_of

    if not is_instance_of(session.sparkContext._gateway, relation, _FILES):  # noqa: SLF001  (nothing public)
        return _ELSEWHERE
    roots = {root.toUri().getPath() for root in _items(relation.location().rootPaths())}
    return names.get(roots.pop().rstrip("/"), _ELSEWHERE).lower() if len(roots) == 1 else _ELSEWHERE


_SAIL_FIRST = "== Parsed Logical Plan ==\n"
_SAIL_SECOND = "\n\n== Analyzed Logical Plan ==\n"
_SAIL_STRING = 'Utf8("'
_SAIL_STRING_END = '")'
_SAIL_NODE = re.compile(r"^ *([A-Z][A-Za-z]*(?: [A-Z][A-Za-z]*)*)(?:: (.*)|:?)$", re.MULTILINE)
_SAIL_CALL = re.compile(r"\b([a-z_][a-z0-9_]*)\(")


def _resolved_by_sail(session: SparkSession, sql: str, _names: Names) -> Found:
    """The logical plan, read from its text: a line for each node, and a `TableScan` line for each leaf.

    What a string holds may add to the reading and never takes away from it.
    """
    from pyspark.sql.connect.plan import SQL

    client: Any = session.client
    report = client.explain_string(SQL(sql).to_proto(client), "extended")
    plan = _first_plan(_without_strings(report, sql))
    found = Found(functions=set(_SAIL_CALL.findall(plan)))
    for kind, what in _SAIL_NODE.findall(plan):
        found.kinds.add(kind.rpartition(" ")[2])  # of `Left Join` the join
        if kind == "TableScan":
            found.tables.add(what.lower())
    return found


def _without_strings(report: str, sql: str) -> str:
    """A report without what string literals hold, which may look like a heading, a node or a call.

    A string is left out up to the first `")`, which is its own end or stands before it. Only a name in back-quotes
    could open one that a string then closes further on: a statement that holds such an opening keeps all its strings.
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


def _first_plan(report: str) -> str:
    """The plan as it was resolved, before it is optimized. Raises ValueError where its end is not certain."""
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
    "embedded": {"resolved": _resolved_by_sail},
    "spark": {"parsed": _parsed_by_spark, "resolved": _resolved_by_spark},
}


def _jvm_session(session: SparkSession) -> Any:
    return session._jsparkSession  # noqa: SLF001  (nothing public leads to the parser)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every node of Spark's JSON, those within tuples, options and expressions too."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            if "class" in each:
                yield each
            stack.extend(each.values())
        elif isinstance(each, list):
            stack.extend(each)


def _unlisted(parts: str) -> str:
    """`[imdb, movies_delta]`, which is how Spark prints a list of names, as `imdb.movies_delta`."""
    return parts[1:-1].replace(", ", ".").lower()


def _items(scala_sequence: Any) -> Iterator[Any]:
    iterator = scala_sequence.iterator()
    while iterator.hasNext():
        yield iterator.next()
