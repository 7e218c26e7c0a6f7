# ruff: noqa: E501  (a form is read in one line)
"""Queries as analysts write them, as data: what each name may be written as, the plainest form first.

Written out by `tests.fuzz.generate`. Every query has one order of its rows, or none that is asked for; which of
several equal rows comes is never open. Some forms fail on purpose: overflow, division by zero, casts, indexes.
"""

from __future__ import annotations

from typing import Final

from tests.fuzz.grammar import Grammar

_QUERIES: Final[Grammar] = {
    "query": (
        "SELECT m.tconst, {any} AS a, {any} AS b, {any} AS c FROM {titles} {where} ORDER BY m.tconst {nulls}",
        "SELECT m.tconst, {any} AS a, {any} AS b, {any} AS c FROM {titles} {where} ORDER BY m.tconst {limit}",
        "SELECT m.tconst, {int} AS a, {str} AS b, {any} AS c FROM {titles} {where} ORDER BY a {nulls}, b {nulls}, m.tconst",
        "SELECT m.tconst, {any}, {any} FROM {titles} {where} ORDER BY m.tconst",
        "SELECT {key} AS k, {agg} AS a, {agg} AS b, {agg} AS c FROM {titles} {where} GROUP BY {key} ORDER BY k {nulls}, a, min(m.tconst)",
        "SELECT m.titleType, m.isAdult, {agg} AS a, {agg} AS b FROM {titles} {where} GROUP BY m.titleType, m.isAdult {having} ORDER BY 1, 2 {nulls}",
        "SELECT m.titleType AS t, {agg} AS a, grouping(m.titleType) AS g FROM {titles} GROUP BY {groups} ORDER BY g, t",
        "SELECT {agg} AS a, {agg} AS b, {agg} AS c FROM {titles} {where}",
        "SELECT m.tconst, {window} AS a, {window} AS b FROM {titles} {where} ORDER BY m.tconst",
        "SELECT p.tconst, p.ordering, {int} AS a, {str} AS b, p.characters AS c FROM movies_delta m JOIN principals_delta p ON p.tconst = m.tconst {where} ORDER BY p.tconst, p.ordering LIMIT 200",
        "SELECT m.tconst, g, {any} AS a FROM movies_delta m LATERAL VIEW explode(m.genres) t AS g {where} ORDER BY m.tconst, g",
        "SELECT m.tconst, pos, g, {any} AS a FROM movies_delta m LATERAL VIEW OUTER posexplode(m.genres) t AS pos, g ORDER BY m.tconst, pos",
        "SELECT g, count(*) AS n, {agg} AS a FROM (SELECT explode(genres) AS g, * FROM movies_with_ratings) m GROUP BY g ORDER BY g",
        "WITH c AS (SELECT m.tconst, {int} AS x, {dbl} AS y, {str} AS s FROM {titles}) SELECT tconst, x, y, s, {over_c} AS z FROM c ORDER BY tconst",
        "WITH c AS (SELECT {key} AS k, {agg} AS a, min(m.tconst) AS one FROM {titles} GROUP BY {key}) SELECT k, a, count(*) OVER () AS n FROM c ORDER BY k {nulls}, a, one",
        "SELECT {int} AS a, {str} AS b FROM {titles} {where} {set} SELECT {int}, {str} FROM {titles} {where}",
        "SELECT m.tconst AS k, {num} AS a FROM {titles} {where} UNION ALL SELECT concat('x', m.tconst), {num} FROM {titles} ORDER BY k",
        "SELECT m.tconst, {any} AS a FROM movies_delta m WHERE {sub} ORDER BY m.tconst",
        "SELECT m.tconst, (SELECT max(r.numVotes) FROM ratings_delta r WHERE r.tconst = m.tconst) AS v, {any} AS a FROM movies_delta m ORDER BY m.tconst",
        "SELECT DISTINCT {key} AS k, {bool} AS b FROM {titles} ORDER BY k {nulls}, b {nulls}",
        "SELECT m.tconst, r.numVotes, {any} AS a FROM movies_delta m {join} ratings_delta r ON m.tconst = r.tconst ORDER BY m.tconst NULLS LAST, r.tconst",
        "SELECT {constant} AS a, {constant} AS b, {constant} AS c",
        "SELECT * FROM (SELECT m.tconst, m.numVotes + 1 AS x, row_number() OVER (PARTITION BY m.titleType ORDER BY m.startYear DESC, m.tconst) AS n FROM {titles}) t WHERE n <= 3 ORDER BY tconst",
        "SELECT m.tconst, {any} AS a FROM {titles} QUALIFY row_number() OVER (PARTITION BY m.startYear ORDER BY m.tconst) = 1 ORDER BY m.tconst",
        "SELECT x, {of_x} AS a, {of_x} AS b FROM VALUES ({int_literal}), ({int_literal}), (NULL), ({int_literal}) AS t(x) ORDER BY x {nulls}, a",
        "SELECT m.tconst, {odd} AS a FROM {titles} {where} ORDER BY m.tconst",
    ),
    "titles": ("movies_with_ratings m",),
    "where": ("", "WHERE {bool}", "WHERE {bool} AND {bool}", "WHERE m.startYear > 1990"),
    "having": ("", "HAVING count(*) > 3", "HAVING max(m.startYear) > 2000"),
    "groups": ("ROLLUP (m.titleType)", "CUBE (m.titleType)", "GROUPING SETS ((m.titleType), ())"),
    "key": ("m.titleType", "m.startYear", "m.isAdult", "m.startYear DIV 10 * 10", "length(m.primaryTitle)", "substring(m.primaryTitle, 1, 1)", "floor(m.averageRating)", "date_trunc('YEAR', {date})", "m.endYear"),
    "nulls": ("", "DESC", "NULLS LAST", "DESC NULLS FIRST", "ASC NULLS FIRST"),
    "limit": ("LIMIT 10", "", "LIMIT 7 OFFSET 3"),
    "join": ("LEFT JOIN", "JOIN", "FULL OUTER JOIN", "RIGHT JOIN"),
    "set": ("UNION", "UNION ALL", "INTERSECT", "EXCEPT"),
    "sub": (
        "m.tconst IN (SELECT r.tconst FROM ratings_delta r WHERE r.numVotes > 100)", "m.tconst NOT IN (SELECT r.tconst FROM ratings_delta r)",
        "EXISTS (SELECT 1 FROM principals_delta p WHERE p.tconst = m.tconst AND p.category = 'director')", "m.startYear NOT IN (SELECT x.endYear FROM movies_delta x)",
        "NOT EXISTS (SELECT 1 FROM ratings_delta r WHERE r.tconst = m.tconst)", "m.startYear = (SELECT max(x.startYear) FROM movies_delta x)",
        "m.startYear > (SELECT avg(x.startYear) FROM movies_delta x)",
    ),
    "any": ("{int}", "{dbl}", "{dec}", "{str}", "{date}", "{bool}", "{strs}", "{ints}", "{time}", "{map}", "{struct}"),
    "over_c": ("x + 1", "x * 2", "coalesce(s, 'none')", "y / 2", "x % 7", "concat(s, '-', x)", "round(y, 1)", "sum(x) OVER (ORDER BY tconst)", "x * x", "rank() OVER (ORDER BY tconst)"),
    "of_x": ("x + 1", "x * 3", "x % 4", "x DIV 2", "-x", "abs(x)", "x / 2", "CAST(x AS STRING)", "x * 1.5", "x IN (1, 2, NULL)", "coalesce(x, 0)", "sum(x) OVER (ORDER BY x)", "round(x, -1)", "bround(x, -1)", "x * x * x", "CAST(x AS SMALLINT)", "x << 3", "bin(x)"),
}  # fmt: skip

_VALUES: Final[Grammar] = {
    "num": ("{int}", "{dbl}", "{dec}"),
    "int_literal": ("1", "0", "7", "-3", "100", "2147483647", "-45", "25"),
    "int": (
        "m.startYear", "m.numVotes", "m.runtimeMinutes", "m.endYear", "{int_literal}", "{int} + 1", "{int} - {int}", "({int} + {int})", "{int} * 3", "{int} % 7", "{int} DIV 3",
        "-{int}", "abs({int})", "length({str})", "year({date})", "month({date})", "dayofweek({date})", "quarter({date})", "datediff({date}, DATE '2000-01-01')", "size(m.genres)",
        "coalesce({int}, 0)", "nvl({int}, -1)", "CASE WHEN {bool} THEN {int} ELSE {int} END", "if({bool}, {int}, NULL)", "greatest({int}, {int})", "least({int}, NULL, 5)", "nullif({int}, 0)",
        "instr({str}, 'a')", "locate('e', {str})", "CAST({dbl} AS INT)", "floor({dbl})", "ceil({dec})", "pmod({int}, 5)", "mod({int}, -4)", "{int} & 15", "{int} | 1", "{int} ^ 3", "~{int}", "shiftright({int}, 1)",
        "array_position(m.genres, 'Drama')", "find_in_set('movie', 'short,movie')", "ascii({str})", "levenshtein({str}, 'abc')", "element_at({ints}, 1)", "aggregate({ints}, 0, (s, x) -> s + coalesce(x, 0))",
        "extract(YEAR FROM {date})", "weekofyear({date})", "dayofyear({date})", "bit_count({int})", "hash({str})", "crc32({str})", "round({int}, -1)", "sign({int})", "try_add({int}, {int})",
        "array_max({ints})", "cardinality({strs})", "regexp_count({str}, 'a')", "unix_date({date})", "months_between({date}, DATE '2000-01-01')", "hour({time})", "try_cast({str} AS INT)",
    ),
    "dbl": (
        "m.averageRating", "m.averageRating * 10", "{int} / 4", "m.averageRating / 3", "sqrt(abs({int}))", "round(m.averageRating, 0)", "round({dbl}, 2)", "round({dbl}, -1)", "bround(m.averageRating, 0)",
        "CAST({int} AS DOUBLE)", "{int} * 0.5D", "abs({dbl})", "-{dbl}", "coalesce(m.averageRating, 0)", "greatest({dbl}, {int})", "CASE WHEN {bool} THEN {dbl} ELSE {int} END", "{dbl} % 3", "{dbl} + {int}",
        "CAST({dec} AS DOUBLE)", "nanvl({dbl}, 0D)", "m.numVotes * 1E6D", "m.averageRating / 1E5D", "CAST('1.5' AS DOUBLE)", "try_divide({int}, {int})", "least({dbl}, 5)", "cbrt(27)", "percentile(m.numVotes, 0.5) OVER (PARTITION BY m.titleType)",
    ),
    "dec": (
        "1.5", "{int} * 1.5", "CAST({int} AS DECIMAL(12,2))", "{int} + 0.25", "CAST(m.averageRating AS DECIMAL(4,2))", "round({dec}, 1)", "{int} / 4.0", "{dec} + 1", "{dec} * 2", "{dec} - 0.1", "abs({dec})", "-{dec}",
        "coalesce({dec}, 0)", "CAST('12.345' AS DECIMAL(6,2))", "CAST(m.averageRating AS DECIMAL(4,1)) / 3", "CASE WHEN {bool} THEN {dec} ELSE 0 END", "100.0 * {int} / 7", "{dec} % 2", "greatest({dec}, 1.25)", "bround({dec}, 1)", "10.25 / 3",
    ),
    "str": (
        "m.primaryTitle", "m.titleType", "m.tconst", "m.originalTitle", "'a'", "'it''s é'", "''", "upper({str})", "lower({str})", "initcap({str})", "concat({str}, '-', {str})", "{str} || {int}", "concat_ws('|', {str}, NULL, {str})",
        "substring({str}, 2, 3)", "substring({str}, -3)", "left({str}, 4)", "right({str}, 2)", "trim(concat(' ', {str}, ' '))", "ltrim('t', {str})", "replace({str}, 'e', '_')", "translate({str}, 'aeiou', '12345')", "reverse({str})", "repeat({str}, 2)",
        "lpad({str}, 8, '*')", "rpad({str}, 5, '.')", "split_part({str}, ' ', 1)", "substring_index({str}, ' ', -1)", "regexp_replace({str}, '[aeiou]+', '<$0>')", "regexp_extract({str}, '(\\\\w+) (\\\\w+)', 2)", "CAST({int} AS STRING)", "CAST({dec} AS STRING)", "CAST({dbl} AS STRING)", "CAST({date} AS STRING)", "CAST({bool} AS STRING)",
        "array_join({strs}, ',')", "array_join({strs}, ',', 'none')", "element_at({strs}, 1)", "{strs}[0]", "date_format({date}, 'yyyy-MM')", "date_format({date}, 'EEE d MMM')", "format_number({int}, 0)", "format_number({dbl}, 2)", "format_string('%s: %d', {str}, {int})", "format_string('%05.1f', {dbl})",
        "coalesce({str}, 'none')", "nvl2({str}, 'x', 'y')", "CASE m.titleType WHEN 'movie' THEN {str} ELSE 'other' END", "if({bool}, {str}, 'no')", "CASE WHEN {bool} THEN 'yes' END", "greatest({str}, 'm')", "md5({str})", "sha2({str}, 256)", "hex({int})", "hex({str})", "base64({str})", "soundex({str})", "overlay({str} PLACING 'XX' FROM 2)",
        "to_json(struct(m.tconst, {int} AS i))", "to_json({strs})", "CAST(m.genres AS STRING)", "CAST({ints} AS STRING)", "typeof({num})", "chr(65 + {int} % 26)", "conv(abs({int}), 10, 16)", "to_char({date}, 'yyyyMMdd')", "space(2)", "sentences({str})[0][0]", "get_json_object('{{\"a\": [1, 2]}}', '$.a[1]')", "decode({int}, 1, 'one', 2, 'two', 'many')", "elt(2, {str}, {str})", "url_encode({str})", "dayname({date})", "mask({str})",
    ),
    "date": (
        "make_date(m.startYear, 2, 28)", "DATE '2020-02-29'", "date_add({date}, 30)", "date_sub({date}, 1)", "add_months({date}, 1)", "last_day({date})", "next_day({date}, 'MON')", "trunc({date}, 'MM')", "to_date(concat(m.startYear, '-03-15'))", "CAST({time} AS DATE)", "{date} + INTERVAL 1 MONTH", "{date} - INTERVAL '2' YEAR", "{date} + 7", "to_date('15/03/2001', 'dd/MM/yyyy')", "CAST('2001-02-03' AS DATE)", "coalesce({date}, DATE '1970-01-01')", "greatest({date}, DATE '2000-01-01')", "date_from_unix_date(10000)",
    ),
    "time": ("TIMESTAMP '2020-02-29 13:14:15.678'", "CAST({date} AS TIMESTAMP)", "date_trunc('MONTH', {date})", "date_trunc('HOUR', {time})", "{time} + INTERVAL 90 MINUTES", "to_timestamp('2001-02-03 04:05:06')", "timestamp_seconds(1E9)", "from_utc_timestamp({time}, 'Asia/Tokyo')", "to_utc_timestamp({time}, 'America/New_York')", "CAST('2001-02-03 04:05:06.5' AS TIMESTAMP)", "make_timestamp(2020, 1, 2, 3, 4, 5.5)", "{time} - INTERVAL '1 02:00:00' DAY TO SECOND"),
    "bool": (
        "m.startYear > 2000", "{int} > {int}", "{int} = {int}", "{dbl} >= 6.5", "{str} LIKE '%a%'", "{str} LIKE 'T\\\\_%'", "{str} ILIKE 't%'", "{str} RLIKE '^[A-M]'", "{int} BETWEEN 1 AND 2000", "{int} IN (1, 2, 1999, NULL)", "{str} IN ('movie', 'short')", "{int} IS NULL", "{str} IS NOT NULL", "NOT ({bool})", "({bool} AND {bool})", "({bool} OR {bool})", "{int} <=> {int}", "m.isAdult",
        "array_contains(m.genres, 'Drama')", "exists(m.genres, g -> g LIKE 'C%')", "forall(m.genres, g -> length(g) > 4)", "{date} > DATE '2000-01-01'", "{date} = '2020-02-29'", "{int} = '7'", "{int} > '100'", "{dbl} < '7.5'", "{int} IS DISTINCT FROM {int}", "startswith({str}, 'T')", "contains({str}, 'the')", "endswith({str}, 'e')", "{str} > 'M'", "{str} = {str}", "isnan({dbl})", "{dec} = 1.50", "{dec} > {dbl}", "arrays_overlap(m.genres, array('Drama', 'Comedy'))", "{str} LIKE ANY ('A%', '%z')", "{date} BETWEEN '2000-01-01' AND '2010-12-31'", "true",
    ),
    "strs": ("m.genres", "array('a', 'b')", "split({str}, ' ')", "array({str}, {str})", "sort_array({strs})", "sort_array({strs}, false)", "array_distinct({strs})", "filter({strs}, x -> x > 'D')", "transform({strs}, x -> upper(x))", "slice({strs}, 1, 2)", "array_union({strs}, array('Drama'))", "array_except({strs}, array('Drama'))", "array_intersect({strs}, array('Drama', 'a'))", "concat({strs}, array('z'))", "reverse({strs})", "array_remove({strs}, 'Drama')", "array_append({strs}, 'q')", "array_compact({strs})", "map_keys({map})", "transform({strs}, (x, i) -> concat(i, x))", "array_sort({strs})", "regexp_extract_all({str}, '([a-z]+)', 1)", "coalesce({strs}, array())", "array_repeat({str}, 2)"),
    "ints": ("array(1, 2, 3)", "sequence(1, 4)", "array({int}, {int})", "transform({strs}, x -> length(x))", "transform({ints}, x -> x + 1)", "filter({ints}, x -> x % 2 = 1)", "array_sort({ints})", "sort_array({ints}, false)", "array(3, NULL, 1)", "zip_with({ints}, array(1, 2), (x, y) -> coalesce(x, 0) + coalesce(y, 0))", "flatten(array(array(1), array(2, 3)))", "map_values({map})", "sequence(5, 1, -2)", "array_insert({ints}, 1, 9)"),
    "map": ("map('a', 1, 'b', {int})", "map_from_arrays(array('x', 'y'), array(1, {int}))", "map_filter({map}, (k, v) -> v > 1)", "map('k', {int})", "str_to_map('a:1,b:2')", "map_concat(map('p', 1), map('q', 2))"),
    "struct": ("named_struct('i', {int}, 's', {str})", "struct({int} AS i, {date} AS d)", "named_struct('a', array({int}), 'b', named_struct('c', {str}))", "array(named_struct('x', {int}))", "struct(m.tconst, m.startYear)"),
    "agg": (
        "count(*)", "count({int})", "count(DISTINCT {int})", "sum({int})", "sum({dec})", "min({any_min})", "max({any_min})", "avg({int})", "avg({dec})", "round(avg({dbl}), 2)", "sum({dbl})", "avg({dbl})", "count_if({bool})", "sum(CASE WHEN {bool} THEN 1 ELSE 0 END)", "count(*) FILTER (WHERE {bool})", "sum({int}) FILTER (WHERE {bool})", "bool_or({bool})", "bool_and({bool})",
        "sort_array(collect_set({int}))", "sort_array(collect_list({str}))", "size(collect_set({str}))", "percentile({int}, 0.5)", "median({dbl})", "percentile_approx({int}, 0.9)", "percentile_approx({int}, array(0.1, 0.5))", "stddev({int})", "variance({dbl})", "corr(m.averageRating, m.numVotes)", "max_by(m.tconst, struct(m.numVotes, m.tconst))", "min_by(m.tconst, m.tconst)", "max(struct(m.numVotes, m.tconst))", "round(100.0 * count(*) / 7, 1)", "sum({int}) / count(*)", "array_join(sort_array(collect_set(m.titleType)), ',')", "max(length({str}))",
        "covar_pop({int}, {int})", "bit_and({int})", "bit_xor({int})", "any_value(1)", "sum(DISTINCT {int})", "count(DISTINCT m.titleType, m.startYear)", "listagg(m.tconst, ',') WITHIN GROUP (ORDER BY m.tconst)", "regr_slope(m.averageRating, m.numVotes)", "try_sum({int})", "kurtosis({int})", "percentile_cont(0.5) WITHIN GROUP (ORDER BY {int})", "percentile_disc(0.5) WITHIN GROUP (ORDER BY {int})", "sum({int} * 1000L)", "sum({int} * {int})", "mode(1)", "max({date})", "approx_count_distinct(m.titleType)",
    ),
    "any_min": ("{int}", "{str}", "{dbl}", "{date}", "{dec}", "{time}", "{bool}"),
    "window": (
        "row_number() OVER (ORDER BY m.tconst)", "rank() OVER (PARTITION BY m.titleType ORDER BY {int})", "dense_rank() OVER (ORDER BY {int} {nulls})", "sum({int}) OVER (PARTITION BY m.titleType ORDER BY m.tconst)", "avg({int}) OVER (PARTITION BY m.titleType)", "lag({any_min}) OVER (ORDER BY m.tconst)", "lead({int}, 2, 0) OVER (ORDER BY m.tconst)", "first_value({str}) OVER (PARTITION BY m.titleType ORDER BY m.tconst)", "last_value({int}) IGNORE NULLS OVER (ORDER BY m.tconst ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)", "max({int}) OVER (ORDER BY m.tconst ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)", "count(*) OVER (ORDER BY m.startYear RANGE BETWEEN 5 PRECEDING AND CURRENT ROW)", "sum({int}) OVER (ORDER BY m.startYear RANGE BETWEEN 5 PRECEDING AND 5 FOLLOWING)", "ntile(4) OVER (ORDER BY m.tconst)", "percent_rank() OVER (PARTITION BY m.titleType ORDER BY {int})", "cume_dist() OVER (ORDER BY {int})", "count(DISTINCT m.titleType) OVER ()", "nth_value({int}, 2) OVER (ORDER BY m.tconst)", "sum({dec}) OVER (ORDER BY m.tconst)", "min({str}) OVER (PARTITION BY m.startYear)", "round(100.0 * count(*) OVER (PARTITION BY m.titleType) / count(*) OVER (), 2)",
    ),
    "constant": ("{constant_num}", "{constant_str}", "{constant_date}"),
    "constant_num": ("7 / 2", "7 DIV 2", "-7 % 3", "2.50 * 4", "1e3", "10L", "round(2.5)", "bround(2.5)", "round(-1.25, 1)", "1.0 / 3", "CAST(2.9 AS INT)", "try_cast('x' AS INT)", "1 IN (1, NULL)", "NULL = NULL", "NULL <=> NULL", "greatest(1, 2.5)", "coalesce(NULL, 1, 2.5)", "factorial(5)", "conv('ff', 16, 10)", "ln(10)", "power(2, 10)", "0.1 + 0.2", "0.1D + 0.2D", "1 / 0", "1 % 0", "2147483647 + 1", "9223372036854775807 * 2", "CAST('abc' AS INT)", "CAST(300 AS TINYINT)", "array(1, 2)[5]", "element_at(array(1), 2)", "CAST(1e10 AS INT)", "'5' + 3", "'2.5' * 2", "1 = '1'", "width_bucket(5, 0, 10, 5)", "factorial(21)", "1.50 = 1.5", "CAST(123.456 AS DECIMAL(5,1))", "CAST(12345 AS DECIMAL(3,0))"),
    "constant_str": ("concat(1, 'a', true, 1.5)", "CAST(1e8D AS STRING)", "CAST(array(1, NULL) AS STRING)", "upper('straße')", "'a ' = 'a'", "'b' > 'A'", "length('日本🎬')", "reverse('añb')", "split('a,b,,', ',')", "'50%' LIKE '50\\\\%'", "format_number(1234567.891, 2)", "format_string('%5s|%-5d|%s', 'a', 42, 1.5)", "substring('hello', -10, 7)", "repeat('ab', -1)", "regexp_replace('a1b22', '(\\\\d+)', '[$1]')", "typeof(1 + 1L)", "to_json(named_struct('a', 1, 'b', array('x')))", "initcap('hello wORLD-foo bar')", "soundex('Robert')", "lpad('abc', 2, 'x')"),
    "constant_date": ("CAST('2020-02-30' AS DATE)", "make_date(2020, 2, 30)", "date_format(DATE '2020-03-05', 'EEEE, d MMMM yyyy')", "DATE '2020-01-31' + INTERVAL 1 MONTH", "months_between(DATE '2020-03-31', DATE '2020-02-29')", "datediff('2020-03-01', '2020-02-01')", "unix_timestamp('2020-01-01 00:00:00')", "date_trunc('WEEK', TIMESTAMP '2020-03-05 10:11:12')", "trunc(DATE '2020-03-05', 'QUARTER')", "to_timestamp('2020-03-05T10:11:12Z')", "extract(DOW FROM DATE '2020-03-05')", "weekofyear(DATE '2021-01-03')", "last_day('2020-02-05')", "TIMESTAMP '2020-01-01 00:00:00' > '2019-12-31'", "from_unixtime(0)", "to_date('xx', 'yyyy')", "date_part('DOY', DATE '2020-03-01')", "next_day(DATE '2020-01-01', 'Fri')"),
    "odd": ("m.numVotes * m.numVotes * 1000", "m.startYear / (m.startYear - m.startYear)", "CAST(m.primaryTitle AS INT)", "m.genres[7]", "element_at(m.genres, 9)", "m.numVotes * 1000000000L * 1000000L", "m.startYear % 0", "CAST(m.numVotes * 100 AS SMALLINT)", "CAST(m.averageRating AS TINYINT) + CAST(120 AS TINYINT)", "CAST(m.numVotes * 1000 AS DECIMAL(5,0))", "coalesce(m.startYear, 'unknown')", "to_date(m.primaryTitle)", "CAST(m.titleType AS BOOLEAN)", "m.runtimeMinutes + 2147483000", "sum(m.numVotes * 3000000000000000L) OVER ()", "abs(m.startYear - 2147485000)"),
}  # fmt: skip

GRAMMAR: Final[Grammar] = {**_QUERIES, **_VALUES}
