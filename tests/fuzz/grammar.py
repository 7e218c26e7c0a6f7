# ruff: noqa: E501  (a form or statement is read in one line)
"""A small grammar of statements, as data: what each name may be written as, the plainest form first.

`{name}` in a form is written out in turn; `{call:class}` is a call of some allowed function of that class,
`{refused}` the name of a refused one. Names of columns carry their table's alias, so that most of what comes
out means something; the part after `# attacks` is there to be refused. Braces of JSON and of `${` are doubled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Grammar = Mapping[str, tuple[str, ...]]

_QUERIES: Final[Grammar] = {
    "statement": (
        "{query}", "{query}", "{query}", "{query}", "EXPLAIN {query}", "{query};", "({query})", "{pipe}",
        "EXPLAIN {mode} {query}", "SHOW {shows}", "DESCRIBE {table}", "{odd_statement}",
    ),
    "query": (
        "SELECT {items} FROM {from}",
        "SELECT {items} FROM {from} WHERE {bool}",
        "SELECT DISTINCT {items} FROM {from} ORDER BY 1 {limit}",
        "SELECT m.titleType, {aggregates} FROM {from} GROUP BY m.titleType {having}",
        "SELECT {aggregates} FROM {from} GROUP BY {groups}",
        "SELECT {items}, {window} FROM {from} {qualify} {limit}",
        "WITH {ctes} SELECT {items} FROM {from}",
        "WITH c AS ({query}) SELECT * FROM c {limit}",
        "WITH movies_delta AS ({query}) SELECT * FROM movies_delta",
        "SELECT {num} AS a FROM {from} {set} SELECT {num} FROM {from} {limit}",
        "SELECT {items} FROM {from} {order} {limit}",
        "SELECT * FROM (SELECT m.titleType, m.startYear, m.isAdult FROM {from}) {pivot}",
        "SELECT m.tconst, g.* FROM {from} {view}",
        "VALUES ({literal}, {num_literal}), ({literal}, {num_literal})",
        "SELECT * FROM {relation} x {limit}",
        "FROM movies_delta m SELECT {items}",
        "SELECT {literal}, {num_literal}",
    ),
    "pipe": (
        "FROM movies_delta m |> WHERE {bool} |> SELECT {items}",
        "FROM movies_delta m |> {step} |> {step} |> LIMIT {small}",
    ),
    "step": (
        "WHERE startYear > {small}", "LIMIT {small}", "ORDER BY tconst", "EXTEND startYear + 1 AS x",
        "AGGREGATE count(*) AS n GROUP BY titleType", "AS m", "JOIN ratings_delta USING (tconst)",
        "SET startYear = 1", "DROP genres", "DISTINCT", "UNION ALL {query}", "{odd_clause}", "TABLESAMPLE (10 ROWS)",
    ),
    "mode": ("EXTENDED", "FORMATTED", "COST", "CODEGEN", "LOGICAL"),
    "shows": ("TABLES", "VIEWS", "TABLES LIKE 'm*'", "COLUMNS FROM movies_delta", "CREATE TABLE hr.salaries", "SCHEMAS"),
    "items": ("m.tconst", "{num} AS a", "{str} AS b, {num} AS c", "*", "m.*", "{any}, {any}", "{odd_item}", "{aggregates}"),
    "any": ("{num}", "{str}", "{bool}", "{date}", "{array}", "{map}", "{bin}", "{call:any}", "{subquery}", "{named}"),
    "from": (
        "movies_delta m", "movies_delta m", "movies_delta AS m JOIN ratings_delta r ON m.tconst = r.tconst",
        "movies_with_ratings m", "movies_delta m LEFT JOIN ratings_delta r USING (tconst)", "imdb.movies_delta m",
        "movies_delta {sample} m", "movies_delta m JOIN {relation} x ON x.tconst = m.tconst",
        "movies_delta VERSION AS OF 0 m", "movies_delta m, LATERAL (SELECT max(numVotes) v FROM ratings_delta q WHERE q.tconst = m.tconst) l",
        "(movies_delta m JOIN crew_delta c USING (tconst))", "movies_delta m NATURAL JOIN ratings_delta r",
        "movies_delta m LEFT SEMI JOIN ratings_delta r ON m.tconst = r.tconst", "movies_delta m, {relation} x",
    ),
    "relation": (
        "ratings_delta", "(SELECT tconst, numVotes FROM ratings_delta)", "range({small})", "({query})",
        "(VALUES ('tt0000001', 1))", "explode(array({num_literal}, 2))", "{table}", "{attacked}",
    ),
    "table": (
        "movies_delta", "ratings_delta", "crew_delta", "episodes_delta", "principals_delta", "persons_delta", "akas_delta",
        "movie_cast", "movies_with_ratings", "MOVIES_DELTA", "`movies_delta`", "imdb.`Ratings_Delta`",
    ),
    "ctes": (
        "a AS (SELECT tconst FROM ratings_delta)", "a AS ({query}), b AS (SELECT * FROM a)", "movies_delta AS ({query})",
        "a (x, y) AS (SELECT 1, 2)", "ratings_delta AS (SELECT * FROM ratings_delta), movies_delta AS (SELECT * FROM movies_delta)",
        "salaries AS (SELECT 1 AS tconst)", "a AS (WITH movies_delta AS (SELECT 1 AS x) SELECT * FROM movies_delta)",
    ),
    "set": ("UNION ALL", "UNION", "INTERSECT", "EXCEPT", "MINUS", "UNION ALL SELECT 1 UNION"),
    "limit": ("LIMIT {small}", "", "LIMIT {number}", "LIMIT 5 OFFSET 2", "LIMIT ALL", "OFFSET {number}", "LIMIT 1 + 1"),
    "order": ("ORDER BY 1", "ORDER BY m.tconst DESC NULLS LAST", "SORT BY m.tconst", "DISTRIBUTE BY m.tconst", "CLUSTER BY m.tconst"),
    "having": ("", "HAVING count(*) > {small}", "HAVING {bool}"),
    "groups": ("m.titleType", "ALL", "CUBE (m.titleType, m.isAdult)", "ROLLUP (m.titleType)", "GROUPING SETS ((m.titleType), ())", "{any}"),
    "qualify": ("", "QUALIFY row_number() OVER (PARTITION BY m.titleType ORDER BY m.tconst) = 1"),
    "pivot": (
        "LIMIT 3", "PIVOT (count(startYear) FOR titleType IN ('movie', 'short' AS s))",
        "UNPIVOT (v FOR k IN (startYear))", "PIVOT (count({num_literal}) FOR {any} IN ({literal}))",
    ),
    "view": ("LATERAL VIEW explode(m.genres) g AS h", "LATERAL VIEW OUTER posexplode(m.genres) g AS p, h", "LATERAL VIEW {call:generator} g"),
    "sample": ("TABLESAMPLE (5 ROWS)", "TABLESAMPLE (10 PERCENT)", "TABLESAMPLE (10 PERCENT) REPEATABLE (7)", "TABLESAMPLE (BUCKET 1 OUT OF 2)"),
    "subquery": ("(SELECT max(q.startYear) FROM movies_delta q)", "(SELECT max({num}) FROM movies_delta m WHERE m.tconst = 'tt1')"),
    "window": (
        "row_number() OVER (ORDER BY m.tconst) AS w", "sum({num}) OVER (PARTITION BY m.titleType ORDER BY m.tconst ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS w",
        "lag(m.startYear) IGNORE NULLS OVER (PARTITION BY m.titleType ORDER BY m.tconst) AS w", "{call:window} OVER (ORDER BY m.tconst) AS w",
    ),
}  # fmt: skip

_VALUES: Final[Grammar] = {
    "num": (
        "m.startYear", "{num_literal}", "m.runtimeMinutes", "({num} + {num})", "({num} * {num})", "({num} - {num})", "({num} / 2)",
        "({num} DIV 3)", "({num} % 7)", "-{num}", "~m.startYear", "(m.startYear & 15)", "(m.startYear | 1)", "(m.startYear ^ 3)",
        "(m.startYear << 2)", "(m.startYear >> 1)", "(m.startYear >>> 1)", "length({str})", "CASE WHEN {bool} THEN {num} ELSE {num} END",
        "if({bool}, {num}, {num})", "CAST({num} AS {type})", "try_cast({str} AS INT)", "m.startYear::bigint", "EXTRACT(YEAR FROM {date})",
        "position('a' IN {str})", "size({array})", "{array}[0]", "coalesce({num}, 0)", "{call:math}", "{call:date}", "{call:random}",
        "aggregate(array(1, 2), 0, (a, x) -> a + x)", "{call:hash}", "named_struct('a', {num}).a", "{subquery}",
    ),
    "num_literal": ("1", "0", "2.5", "1e3", "10L", "3S", "7Y", "1.5BD", "2D", "{number}"),
    "small": ("3", "10", "1", "2", "0"),
    "number": ("100", "999", "1000000", "9223372036854775807", "1e308", "-1", "0x10", "1e400", "1e99999BD", "00", "1__0", "3.", ".5"),
    "str": (
        "m.primaryTitle", "{literal}", "m.tconst", "upper({str})", "({str} || {str})", "concat({str}, '-', {str})", "substring({str} FROM 1 FOR 3)",
        "trim(BOTH 'a' FROM {str})", "overlay({str} PLACING 'x' FROM 2)", "CAST({num} AS STRING)", "{call:string}", "{call:json}", "{call:conversion}",
        "array_join({array}, ',')", "CASE m.titleType WHEN 'movie' THEN {str} END", "repeat({str}, {small})", "date_format({date}, 'yyyy')",
        "m.primaryTitle COLLATE UTF8_LCASE", "{call:geography}", "parse_json('{{\"a\": 1}}'):a", "get_json_object('{{\"a\": 1}}', '$.a')",
    ),
    "literal": (
        "'a'", "'movie'", "''", "'it\\'s'", "'it''s'", '"b"', "r'\\d'", "X'FF'", "'日本 🎬'", "'%'", "'/* no comment */'", "'-- no comment'",
        "'${{x}}'", "DATE '2020-01-01'", "TIMESTAMP '2020-01-01 00:00:00'", "NULL", "TRUE", "'; DROP TABLE movies_delta'", "'\\u0041'",
    ),
    "bool": (
        "m.startYear > 2000", "{num} = {num}", "{str} LIKE '%a%'", "{str} ILIKE 'a%'", "{str} RLIKE '^a'", "{str} LIKE 'a\\_%' ESCAPE '\\\\'",
        "m.startYear BETWEEN 1990 AND {num}", "{num} IN (1, 2, {num})", "m.tconst IN (SELECT tconst FROM ratings_delta)", "{str} IS NULL",
        "{num} IS NOT NULL", "EXISTS (SELECT 1 FROM ratings_delta r WHERE r.tconst = m.tconst)", "NOT {bool}", "({bool} AND {bool})",
        "({bool} OR {bool})", "{num} <=> {num}", "{num} <> {num}", "{num} != 1", "{num} >= {num}", "{num} <= 3", "{num} < 9", "{str} LIKE ANY ('a%', 'b%')",
        "{str} LIKE ALL ('%a%')", "m.isAdult", "{call:condition} IS NULL", "{num} IS DISTINCT FROM {num}", "exists({array}, x -> x = 'a')", "array_contains({array}, 'Drama')",
        "m.startYear = ({query})", "{odd_condition}",
    ),
    "date": (
        "DATE '2020-02-29'", "current_date", "current_timestamp()", "now()", "DATE '2020-01-01' + INTERVAL 1 DAY", "TIMESTAMP '2020-01-01' - INTERVAL '1-2' YEAR TO MONTH",
        "make_date(m.startYear, 1, 1)", "date_add(current_date(), {small})", "to_date('2020-01-01')", "{call:date}", "localtimestamp", "{num}",
    ),
    "array": ("m.genres", "array({num}, {num})", "split({str}, ',')", "sequence(1, {small})", "transform(m.genres, x -> upper(x))", "filter(m.genres, x -> x > 'a')", "{call:array}", "collect_list({str})", "array_repeat({num}, {small})"),
    "map": ("map('a', {num})", "named_struct('a', {num}, 'b', {str})", "struct({num} AS a)", "struct(*)", "{call:map_and_struct}", "map_from_arrays({array}, {array})"),
    "named": (
        "zip_with({array}, {array}, ({name}, y) -> {name})", "transform_values(map('a', {num}), ({name}, v) -> v)", "transform_keys(map('a', {num}), (k, {name}) -> concat(k, 'x'))",
        "transform({array}, {name} -> array_contains({array}, {name}))", "max(struct({num} AS {name}, {num} AS {name}2))", "array_contains({array}, {bool} AND {bool})",
        "decode({bool} OR {bool}, true AND {bool}, {num}, {num})", "slice({array}, {num} - 2, {small})", "({str} || 'a') LIKE ANY ('a%', {str} || '%')", "array_contains({array}, {call:random})",
        "{num} IN (SELECT {num} AS {name} FROM movies_delta m)", "mod({num} - 1, {num} | 1)", "array_except({array}, {array})", "parse_json('{{\"a\": 1}}'):a::int", "{array}[{num} - {num}]",
        "(SELECT max({name}) FROM (SELECT m.startYear AS {name} FROM movies_delta m))", "named_struct({literal}, {num})", "regexp_replace({str}, 'a(b)$', '$10')", "CAST({num} / 3 AS STRING)",
    ),
    "name": (
        "item_", "pair_", "`item_`", "Item_", "v_", "each_", "own_", "__keep", "__s1", "`a b`", "`NULL`", "`case`", "`x'y`", "`x', (SELECT leaked FROM ratings_delta), 'y`",
        "`x, (SELECT leaked FROM ratings_delta) y`", "`x) -> (SELECT leaked), (y`", "`x' OR leaked = 'a`", "`x AS leaked`", "`(leaked)`", '`"leaked"`',
    ),
    "bin": ("unhex('FF')", "X'00'", "hll_sketch_agg(m.startYear)", "{call:sketch}", "encode({str}, 'utf-8')"),
    "type": ("INT", "BIGINT", "STRING", "DECIMAL(10, 2)", "DOUBLE", "ARRAY<INT>", "MAP<STRING, INT>", "STRUCT<a: INT>", "BINARY", "VARCHAR(3)", "TIMESTAMP_NTZ", "hr.salaries"),
    "aggregates": (
        "count(*) AS n", "max({num}) AS x", "sum({num}) FILTER (WHERE {bool}) AS x", "count(DISTINCT {any}) AS x", "collect_list(m.tconst) AS x", "{call:aggregate} AS x",
        "{call:collecting} AS x", "percentile_cont(0.5) WITHIN GROUP (ORDER BY m.startYear) AS x", "first(m.startYear) IGNORE NULLS AS x", "approx_count_distinct(m.tconst, {fraction}) AS x",
        "percentile_approx(m.startYear, 0.5, {number}) AS x",
    ),
    "fraction": ("0.05", "0.0001", "1e-9"),
}  # fmt: skip

# attacks
_ODD: Final[Grammar] = {
    "attacked": (
        "hr.salaries", "salaries", "imdb.salaries", "`hr`.`salaries`", "spark_catalog.hr.salaries", "hr . salaries", "imdb.hr.salaries",
        "text.`{secret_file}`", "csv.`{secret_file}`", "delta.`{secret_table}`", "parquet.`{secret_address}`", "json.`{secret_address}`",
        "binaryFile.`{secret_file}`", "`{secret_file}`", "'{secret_file}'", "read_files('{secret_file}')", "IDENTIFIER('hr.salaries')",
        "IDENTIFIER('hr' || '.salaries')", "read_csv('{secret_file}')", "delta.`{secret_table}` VERSION AS OF 0", "{refused}('{secret_file}')",
        "table_changes('hr.salaries', 0)", "rejects", "information_schema.tables", "STREAM movies_delta", "TABLE(range(3))", "http_request('{secret_address}')",
        "movies_delta WITH (path = '{secret_table}')", "movies_delta TIMESTAMP AS OF ({query})", "ℎr.salaries", "hr.saIaries", "hr.\u200bsalaries",
    ),
    "odd_statement": (
        "INSERT INTO movies_delta {query}", "DROP TABLE movies_delta", "CREATE TABLE x AS {query}", "DELETE FROM movies_delta", "{query}; DROP TABLE movies_delta",
        "WITH a AS ({query}) INSERT INTO movies_delta SELECT * FROM a", "FROM movies_delta INSERT INTO movies_delta SELECT *", "TRUNCATE TABLE movies_delta",
        "MERGE INTO movies_delta t USING ({query}) s ON true WHEN MATCHED THEN DELETE", "OPTIMIZE movies_delta", "VACUUM movies_delta RETAIN 0 HOURS",
        "EXPLAIN DROP TABLE movies_delta", "EXECUTE IMMEDIATE 'DROP TABLE movies_delta'", "EXPLAIN EXECUTE IMMEDIATE '{query}'", "SET spark.sql.ansi.enabled = false",
        "ADD JAR '{secret_file}'", "CACHE TABLE x AS {query}", "BEGIN {query}; END", "CALL sys.rollback()", "USE hr", "REFRESH '{secret_file}'", "LIST FILE", "TABLE hr.salaries",
        "TABLE movies_delta", "RESTORE TABLE movies_delta TO VERSION AS OF 0", "DESCRIBE DETAIL movies_delta", "COPY INTO movies_delta FROM '{secret_file}'",
    ),
    "odd_item": (
        "_metadata.file_path", "m._metadata", "input_file_name()", "current_user()", "user", "version()", "{refused}({any})", "reflect('java.lang.System', 'getenv', '{secret_variable}')",
        "java_method('java.lang.Runtime', 'getRuntime')", "'${{env:{secret_variable}}}'", "${{env:{secret_variable}}}", ":p", "?", "@x", "{{{{x}}}}", "secret('a', 'b')",
        "TRANSFORM(m.tconst) USING 'cat {secret_file}' AS (a)", "ai_query('x', {str})", "m.tconst INTO x", "IDENTIFIER('user')()", "system.builtin.upper('a')",
        "xpath_string('<!DOCTYPE a [<!ENTITY x SYSTEM \"file://{secret_file}\">]><a>&x;</a>', 'a')", "from_xml('<a/>', 'a INT')", "try_secret('a', 'b')", "getvariable('x')",
        "repeat('a', 1000000000)", "sequence(1, 1000000000)", "to_json(collect_list(struct(*)))", "aggregate(sequence(1, 50), 'a', (a, x) -> a || a)",
        "rpad('a', 100000000, 'b')", "space(99999999)", "array_repeat(1, 99999999)", "format_string('%99999999d', 1)", "replace(repeat('a', 1000000), 'a', repeat('b', 1000000))",
        "regexp_replace(repeat('a', 30), '(a+)+$', 'b')", "randstr(99999999)", "collect_list(struct(*)) OVER ()", "schema_of_json(repeat('[', 100000))",
    ),
    "odd_condition": (
        "1 = 1 OR m.tconst IN (SELECT name FROM hr.salaries)", "{refused}({str}) = 'a'", "m.tconst IN (SELECT value FROM text.`{secret_file}`)",
        "EXISTS (SELECT 1 FROM {attacked})", "sleep(10) = 0", "m.tconst = :id", "m.tconst = ?",
    ),
    "odd_clause": (
        "SELECT TRANSFORM(*) USING 'sh'", "UNION ALL TABLE hr.salaries", "JOIN {attacked} USING (tconst)", "INSERT INTO x", "WITH (path = '/')", "CALL f()", "RENAME tconst AS x",
    ),
    "hint": ("/*+ BROADCAST(m) */", "/*+ REPARTITION(1000000) */", "/*+ COALESCE(1) */", "/*+ MERGE(m) */", "/*+ x('{secret_file}') */"),
}  # fmt: skip

GRAMMAR: Final[Grammar] = {**_QUERIES, **_VALUES, **_ODD}

ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "aggregate": ("m.startYear", "{num}", "{num}, {num}", "m.isAdult", "{num}, 0.5", "{str}", "{num}, {small}"),
    "collecting": ("m.tconst", "m.tconst, ','", "{str}"),
    "window": ("", "m.startYear", "4", "m.startYear, 2"),
    "generator": ("m.genres", "{array}", "{map}", "{small}", "'{{\"a\": 1}}', 'a'"),
    "array": ("m.genres", "m.genres, 'a'", "m.genres, m.genres", "m.genres, 1", "m.genres, x -> x > 'a'", "{array}, 1, 2", "{array}"),
    "map_and_struct": ("'a', 1", "map('a', 1)", "map('a', 1), (k, v) -> v", "m.genres, m.genres", "map('a', 1), 'a'", "{str}, ',', ':'"),
    "string": ("m.primaryTitle", "{str}", "m.primaryTitle, 'a'", "{str}, {small}", "{str}, {small}, {small}", "{str}, 'a', 'b'", "{str}, ','", "{bin}"),
    "date": ("", "{date}", "{date}, {small}", "'year', {date}", "{str}", "{date}, 'UTC'", "2020, 1, 1", "{num}", "{str}, 'yyyy'", "'UTC', {date}"),
    "math": ("{num}", "{num}, {num}", "2.5", "{num}, {small}", "10, 10, 2", ""),
    "random": ("", "{small}", "1, 10", "5"),
    "condition": ("{num}, {num}", "{str}", "{bool}, {num}, {num}", "{num}"),
    "conversion": ("{num}", "{str}"),
    "types": ("{num}",),
    "json": ("'{{\"a\": 1}}'", "'{{\"a\": 1}}', 'a INT'", "'1,2', 'a INT, b INT'", "named_struct('a', 1)", "'{{\"a\": 1}}', '$.a'", "parse_json('1'), '$', 'int'"),
    "hash": ("{str}", "{str}, 256", "{num}"),
    "sketch": ("hll_sketch_agg(m.startYear)", "{bin}, {bin}", "{bin}"),
    "geography": ("X'0101000000000000000000F03F0000000000000040'", "st_geomfromwkb(X'00')", "{bin}, 4326"),
}  # fmt: skip
"""Arguments to try with the functions of a class; many do not fit, and the engine says so."""
