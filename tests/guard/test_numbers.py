"""Numbers of any length and of any digits are read, or refused; the guard itself never fails of one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from lakehouse.errors import LakehouseError
from lakehouse.session import Dialect
from mcp_server import checking
from tests.guard.conftest import SETTINGS

_FORMS = """
SELECT {0}
SELECT -{0}.{0}D, {0}L, {0}e5, 1e{0}
SELECT {0} / 3 + startYear * {0} FROM movies_delta
SELECT 1 FROM movies_delta WHERE startYear IN (1, {0}) AND endYear = -{0}
SELECT 1 FROM movies_delta WHERE startYear = CAST('{0}' AS INT)
SELECT 1 FROM movies_delta WHERE startYear = CAST('-{0}' AS BIGINT)
SELECT 1 FROM movies_delta WHERE startYear = CAST('{0}' AS DOUBLE)
SELECT 1 FROM movies_delta WHERE startYear = CAST('{0}' AS DECIMAL(38, 0))
SELECT 1 FROM movies_delta WHERE startYear = CAST('1' AS DECIMAL({0}, 2))
SELECT 1 FROM movies_delta WHERE startYear = CAST('1' AS DECIMAL(10, {0}))
SELECT 1 FROM movies_delta WHERE startYear BETWEEN {0} AND DATE '{0}'
SELECT 1 FROM movies_delta VERSION AS OF {0}
SELECT 1 FROM movies_delta TIMESTAMP AS OF '{0}'
SELECT 1 FROM movies_delta TABLESAMPLE ({0} ROWS)
SELECT tconst FROM movies_delta GROUP BY {0} ORDER BY {0} LIMIT {0} OFFSET {0}
FROM movies_delta |> AGGREGATE count(*) GROUP BY {0}
SELECT ai_movie_summary(tconst) FROM movies_delta ORDER BY {0} LIMIT {0}
SELECT repeat('a', {0}), sequence(1, {0}), round(1.5, {0}), round(startYear, -{0}) FROM movies_delta
SELECT * FROM range({0})
SELECT sum(startYear) OVER (ORDER BY startYear ROWS {0} PRECEDING) FROM movies_delta
SELECT format_string('%{0}$s', 1)
SELECT format_string('%.{0}f', 1.5D)
SELECT date_format(now(), '{0}'), to_char(5, '{0}'), format_number(1.5, '#.{0}')
SELECT INTERVAL '{0}' DAYS
SELECT INTERVAL '{0}-1' YEAR TO MONTH
SELECT date '2020-01-01' + INTERVAL {0} day
SELECT regexp_replace(tconst, '(a)', 'x${0}') FROM movies_delta
SELECT regexp_extract(tconst, '(a)', {0}), split(tconst, '\\{0}') FROM movies_delta
SELECT regexp_replace(tconst, 'a{{0}}', ''), tconst RLIKE 'a{1,{0}}' FROM movies_delta
SELECT '\\{0}', '\\u{0}', genres[{0}] FROM movies_delta
SELECT get_json_object('x', '$[{0}]'), from_json('x', 'a DECIMAL({0}, 2)')
WITH RECURSIVE r(n) MAX RECURSION LEVEL {0} AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + {0} FROM r WHERE n < {0}) SELECT * FROM r
EXPLAIN SELECT {0}
"""


@pytest.mark.parametrize("dialect", ["spark", "sail"])
@pytest.mark.parametrize("number", ["9" * 5_000, "0" * 5_000 + "7", "1" * 310, "9" * 39, "²", "٣", "5²"])
def test_the_guard_reads_or_refuses_a_number_wherever_it_stands(dialect: Dialect, number: str) -> None:
    settings = SETTINGS | {"catalog": replace(SETTINGS["catalog"], dialect=dialect)}

    for form in _FORMS.strip().splitlines():
        with suppress(LakehouseError):
            checking.check(form.replace("{0}", number), **settings)
