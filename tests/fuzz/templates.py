# ruff: noqa: E501  (a form or statement is read in one line)
"""Statements that together hold every kind of node and every class of function: each run executes them all."""

from __future__ import annotations

from typing import Final

TEMPLATES: Final = (
    # clauses
    "SELECT DISTINCT m.titleType AS t FROM movies_delta AS m WHERE m.startYear > 1990 ORDER BY t DESC NULLS LAST LIMIT 5 OFFSET 1",
    "SELECT titleType, count(*) AS n FROM movies_delta GROUP BY titleType HAVING count(*) > 1",
    "SELECT tconst FROM movies_delta QUALIFY row_number() OVER (PARTITION BY titleType ORDER BY tconst) = 1",
    "SELECT tconst FROM movies_delta SORT BY tconst LIMIT 3",
    "SELECT tconst FROM movies_delta DISTRIBUTE BY titleType LIMIT 3",
    "SELECT tconst FROM movies_delta CLUSTER BY tconst LIMIT 3",
    "WITH a (x) AS (SELECT 1), b AS (SELECT x FROM a) SELECT (SELECT max(x) FROM b) AS y, x FROM a",
    "SELECT tconst FROM movies_delta UNION ALL SELECT tconst FROM ratings_delta",
    "SELECT tconst FROM movies_delta INTERSECT SELECT tconst FROM ratings_delta",
    "SELECT tconst FROM movies_delta EXCEPT SELECT tconst FROM ratings_delta",
    "SELECT v.a, v.b FROM (VALUES (1, 'x'), (2, 'y')) AS v (a, b)",
    "SELECT 'a' 'b' AS c",
    "SELECT count(*) FROM movies_delta TABLESAMPLE (50 PERCENT)",
    "SELECT m.tconst, r.numVotes FROM movies_delta m LEFT JOIN ratings_delta r ON m.tconst = r.tconst LIMIT 5",
    "SELECT m.tconst, l.v FROM movies_delta m, LATERAL (SELECT max(r.numVotes) AS v FROM ratings_delta r WHERE r.tconst = m.tconst) l LIMIT 5",
    "SELECT tconst, g FROM movies_delta LATERAL VIEW explode(genres) t AS g LIMIT 5",
    "SELECT * FROM (SELECT titleType, startYear, tconst FROM movies_delta) PIVOT (count(tconst) AS n FOR titleType IN ('movie' AS film, 'short'))",
    "SELECT titleType, isAdult, count(*) FROM movies_delta GROUP BY CUBE (titleType, isAdult)",
    "SELECT titleType, count(*) FROM movies_delta GROUP BY ROLLUP (titleType)",
    "SELECT titleType, isAdult, count(*) FROM movies_delta GROUP BY GROUPING SETS ((titleType), (isAdult), ())",
    "SELECT sum(numVotes) OVER (ORDER BY tconst ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM ratings_delta LIMIT 3",
    "SELECT posexplode(array(1, 2)) AS (p, c)",
    # expressions
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY numVotes) AS p FROM ratings_delta",
    "SELECT count(*) FILTER (WHERE isAdult) AS a FROM movies_delta",
    "SELECT lag(startYear) IGNORE NULLS OVER (ORDER BY tconst) AS a FROM movies_delta LIMIT 3",
    "SELECT first_value(startYear) RESPECT NULLS OVER (ORDER BY tconst) AS a FROM movies_delta LIMIT 3",
    "SELECT named_struct('a', 1).a AS a, m.genres[0] AS g, TRUE AS t, NULL AS n, -1 AS i, ~3 AS j FROM movies_delta m LIMIT 2",
    "SELECT DATE '2020-01-01' + INTERVAL 1 DAY AS d, TIMESTAMP '2020-01-01 00:00:00' + INTERVAL '1-2' YEAR TO MONTH AS t",
    "SELECT CAST(named_struct('a', 1) AS STRUCT<a: INT>) AS s, CAST(1 AS DECIMAL(10, 2)) AS d, try_cast('x' AS INT) AS i, 1::STRING AS t",
    "SELECT 'a' COLLATE UTF8_LCASE = 'A' AS same",
    "SELECT transform(genres, x -> upper(x)) AS g FROM movies_delta LIMIT 2",
    "SELECT mask('AbCD123', upperChar => 'Q') AS m",
    "SELECT tconst FROM movies_delta WHERE startYear > 1 AND (isAdult OR NOT isAdult) AND startYear <> 3 AND startYear >= 1 AND startYear < 9999 AND startYear <= 9999 AND tconst <=> tconst AND endYear IS NULL AND titleType IN ('movie', 'short') AND startYear BETWEEN 1 AND 3000 LIMIT 3",
    "SELECT tconst FROM movies_delta WHERE primaryTitle LIKE '%a\\_%' ESCAPE '\\\\' OR primaryTitle ILIKE 'a%' OR primaryTitle RLIKE '^a' LIMIT 3",
    "SELECT tconst FROM movies_delta WHERE primaryTitle LIKE ANY ('a%', 'b%') LIMIT 3",
    "SELECT tconst FROM movies_delta WHERE primaryTitle LIKE ALL ('%a%', '%e%') LIMIT 3",
    "SELECT tconst FROM movies_delta m WHERE EXISTS (SELECT 1 FROM ratings_delta r WHERE r.tconst = m.tconst) LIMIT 3",
    "SELECT 1 + 2 - 3 * 4 / 5 AS a, 7 DIV 2 AS b, 7 % 2 AS c, 'a' || 'b' AS d, 6 & 3 AS e, 6 | 1 AS f, 6 ^ 3 AS g, 1 << 2 AS h, 8 >> 1 AS i",
    "SELECT CASE WHEN startYear > 2000 THEN 'new' ELSE 'old' END AS age, CASE titleType WHEN 'movie' THEN 1 END AS m FROM movies_delta LIMIT 3",
    "SELECT startYear IS DISTINCT FROM 2000 AS d, startYear IS NOT DISTINCT FROM 2000 AS s FROM movies_delta LIMIT 3",
    "SELECT extract(YEAR FROM DATE '2020-02-03') AS y, trim(BOTH 'x' FROM 'xax') AS t, substring('abc' FROM 2 FOR 1) AS s, overlay('abc' PLACING 'x' FROM 2) AS o, position('b' IN 'abc') AS p",
    "SELECT parse_json('{\"a\": {\"b\": [1]}}'):a.b[0] AS j",
    "SELECT current_date AS d, current_timestamp AS t",
    # classes of functions
    "SELECT avg(numVotes) AS a, collect_list(tconst)[0] AS c FROM ratings_delta",
    "SELECT ntile(4) OVER (ORDER BY numVotes) AS n FROM ratings_delta LIMIT 3",
    "SELECT explode(array(1, 2)) AS e",
    "SELECT array_sort(array(2, 1)) AS a, map('a', 1)['a'] AS m, upper('a') AS s, year(DATE '2020-01-01') AS y, abs(-1) AS b",
    "SELECT rand(7) < 1 AS r, coalesce(NULL, 1) AS c, string(1) AS s, get_json_object('{\"a\": 1}', '$.a') AS j, md5('a') AS h",
    "SELECT CAST('a' AS VARCHAR(3)) AS v, CAST('a' AS CHAR(3)) AS c",
    "SELECT hll_sketch_estimate(hll_sketch_agg(numVotes)) AS n FROM ratings_delta",
    "SELECT st_srid(st_geomfromwkb(X'0101000000000000000000F03F0000000000000040')) AS s",
)  # fmt: skip

UNANSWERED: Final = {
    "class:geography": "Sail has no geography",
    "Collate": "Sail has no collations",
    "JSONExtract": "Sail has no path into a variant: j:a",
    "JSONPath": "the same",
    "JSONPathRoot": "the same",
    "JSONPathKey": "the same",
    "JSONPathSubscript": "the same",
}
"""What the embedded engine does not answer in the templates, and why; the tests say so once it does."""
