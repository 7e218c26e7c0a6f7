"""The key of the row that an AI function's argument is of, to tell things of one name apart."""

from __future__ import annotations

from collections import Counter

from sqlglot import exp

from mcp_server.sql.case import Case
from mcp_server.sql.compose import Sql, back_quote, compose, join
from mcp_server.sql.relations import Relation

_ONE_SIDED = frozenset({"SEMI", "ANTI"})


def find_key(case: Case, select: exp.Select, argument: exp.Expr, key: str) -> Sql | None:
    """How the column `key` of the argument's row is written in a SELECT, or None where that is not one column.

    It is the argument's own relation's; else that of the only relation that has one. Rows that were grouped have it
    where they were grouped by it. What reads no column is of no row.
    """
    if argument.find(exp.Column) is None:
        return None
    relations = case.relations.list_relations(select)
    group = select.args.get("group")
    if group is not None:
        return _find_grouped(group, key)
    if select.args.get("having") is not None or case.relations.is_aggregated(select):
        return None
    columns = [_find_columns(case, each.node) for each in relations]
    having = [each for each, known in zip(relations, columns, strict=True) if known is not None and key in known]
    joined = sum(key in used for used in _list_using(select))
    if joined and joined == len(having) - 1:
        return back_quote(key)  # one column of all that have it
    if isinstance(argument, exp.Column):
        name, table = argument.name.lower(), argument.table.lower()
        pairs = zip(relations, columns, strict=True)
        owners = [r for r, known in pairs if (r.alias == table if table else known is None or name in known)]
        if len(owners) == 1 and owners[0] in having:
            return _qualify_key(owners[0], key, relations)
    sided = any(join.kind in _ONE_SIDED or join.side in _ONE_SIDED for join in select.args.get("joins") or [])
    return _qualify_key(having[0], key, relations) if len(having) == 1 and not sided else None


def _find_grouped(group: exp.Group, key: str) -> Sql | None:
    """Find the key among the plain columns of a GROUP BY, as written there."""
    for each in group.expressions:
        if isinstance(each, exp.Column) and each.name.lower() == key:
            return join(".", (back_quote(part.name) for part in each.parts))
    return None


def _list_using(select: exp.Select) -> list[set[str]]:
    """List the columns of each USING of a SELECT, which are one column of both sides."""
    joins = select.args.get("joins") or []
    return [{column.name.lower() for column in join.args.get("using") or []} for join in joins]


def _find_columns(case: Case, node: exp.Expr, seen: frozenset[int] = frozenset()) -> frozenset[str] | None:
    """Return the unique columns of a relation, in lower case, with stars expanded. None where they are not known."""
    if node.args.get("pivots"):
        return None
    cte = case.names.ctes.get(id(node))
    inner = cte.this if cte is not None else node.this if isinstance(node, exp.Subquery) else None
    aliases = [node.args.get("alias"), cte.args["alias"] if cte is not None else None]
    renamed = any(isinstance(alias, exp.TableAlias) and alias.columns for alias in aliases)
    if renamed or not isinstance(inner, exp.Select):
        return case.relations.find_columns(node)
    if id(inner) in seen:  # a recursive name that reads itself
        return None
    seen |= {id(inner)}
    used = _list_using(inner)
    counted: Counter[str] = Counter()
    for item in inner.expressions:
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star) and not any(star.args.values()):
            of = item.table.lower() if isinstance(item, exp.Column) else ""
            relations = [r for r in case.relations.list_relations(inner) if not of or r.alias == of]
            opened = [_find_columns(case, each.node, seen) for each in relations]
            if not opened or any(columns is None for columns in opened):
                return None
            found = Counter(name for columns in opened for name in columns or ())
            counted.update({name: times - sum(name in each for each in used) for name, times in found.items()})
        elif item.is_star or not item.alias_or_name:
            return None
        else:
            counted[item.alias_or_name.lower()] += 1
    return frozenset(name for name, times in counted.items() if times == 1)


def _qualify_key(relation: Relation, key: str, relations: list[Relation]) -> Sql | None:
    """Qualify the key with the name of its relation; a relation without a name must be the only one."""
    name = relation.node.alias_or_name
    if name:
        return compose("{}.{}", back_quote(name), back_quote(key))
    return back_quote(key) if len(relations) == 1 else None
