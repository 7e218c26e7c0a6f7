"""VARIANT through the whole server, on each engine that has Spark's own: answered, or refused with what to write.

The embedded engine's answers are compared with Spark's in `test_features.py`.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.engines.choice import create_engines
from mcp_server.settings import Settings
from tests.connect_server import ConnectServer
from tests.engines.feature_tables import ARCHIVE

pytestmark = pytest.mark.anyio

_WHOLE = '{"a":1,"b":[1.5,"x",null,true],"c":{"d":"2020-01-01"}}'
_ANSWERED: dict[str, list[list[Any]]] = {
    "SELECT * FROM variants ORDER BY id": [[1, _WHOLE], [2, '"text"'], [3, None], [4, "null"]],
    "SELECT id, v:a, v:b[0], v:c.d, v:c FROM variants WHERE id < 3 ORDER BY id": [
        [1, "1", "1.5", '"2020-01-01"', '{"d":"2020-01-01"}'],
        [2, None, None, None, None],
    ],
    "SELECT CAST(v AS STRING), v:a::int, CAST(v:c.d AS DATE) FROM variants WHERE id < 3 ORDER BY id": [
        [_WHOLE, 1, "2020-01-01"],
        ["text", None, None],
    ],
    "SELECT CAST(v:b AS ARRAY<STRING>), CAST(v AS STRUCT<a INT>) FROM variants WHERE id = 1": [
        [["1.5", "x", None, "true"], {"a": 1}]
    ],
    "SELECT to_json(array(v)), to_json(struct(v)) FROM variants WHERE id = 2": [['["text"]', '{"v":"text"}']],
    "SELECT id, t.key, t.value FROM variants, LATERAL variant_explode(v) t ORDER BY t.key": [
        [1, "a", "1"],
        [1, "b", '[1.5,"x",null,true]'],
        [1, "c", '{"d":"2020-01-01"}'],
    ],
    "SELECT try_variant_get(v, '$', 'int'), schema_of_variant(v) FROM variants WHERE id IN (2, 4) ORDER BY id": [
        [None, "STRING"],
        [None, "VOID"],
    ],
    "SELECT id FROM variants WHERE try_variant_get(v, '$.a', 'int') = 1": [[1]],
    "SELECT count(DISTINCT to_json(v)) FROM variants": [[3]],
}
_TAKE_OUT = "take a value out of it, try_variant_get(v, '$.a', 'int') (null where it is none), or its text, to_json(v)."
_REFUSED = {
    "SELECT array(v) AS a FROM variants": "The column a holds variants within another value. Select to_json(a)",
    "SELECT struct(id, v) FROM variants": "Select to_json of it, as in to_json(array(v)), instead.",
    "SELECT map('k', v) AS m FROM variants": "Select to_json(m) instead.",
    "SELECT id FROM variants WHERE v:a = 1": _TAKE_OUT,
    "SELECT id FROM variants ORDER BY v": _TAKE_OUT,
    "SELECT v, count(*) FROM variants GROUP BY v": _TAKE_OUT,
    "SELECT DISTINCT v FROM variants": _TAKE_OUT,
    "SELECT count(DISTINCT v) FROM variants": _TAKE_OUT,
    "SELECT v.a FROM variants": _TAKE_OUT,
    "SELECT CAST(v AS INT) FROM variants": _TAKE_OUT,
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of the one table, as Spark has written it."""
    folder = tmp_path_factory.mktemp("variants")
    with tarfile.open(ARCHIVE) as archive:
        wanted = [member for member in archive.getmembers() if Path(member.name).parts[:1] == ("variants",)]
        archive.extractall(folder, wanted, filter="data")
    return folder


@pytest.fixture(scope="module", params=["spark", "connect"])
def server(
    request: pytest.FixtureRequest, java: None, lake: Path, settings_of: Callable[..., Settings]
) -> Iterator[LakehouseServer]:
    remote = {}
    if request.param == "connect":
        connect: ConnectServer = request.getfixturevalue("connect_server")
        remote = {"SPARK_REMOTE": connect.url}
    settings = settings_of(engine="spark", lake=str(lake), engine_memory_mb=1024, wait_seconds=240, **remote)
    (engine,) = engines = create_engines(settings, Lake.parse(str(lake)))
    with closing(engine):
        yield LakehouseServer(settings, lambda: engines)


async def _ask(client: Client, sql: str) -> Any:
    return await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "a test"})


async def test_variants_are_answered_as_json_or_refused_with_what_to_write(server: LakehouseServer) -> None:
    async with Client(server) as client:
        for sql, rows in _ANSWERED.items():
            result = await _ask(client, sql)
            assert not result.is_error, (sql, result.content)
            assert result.structured_content["rows"] == rows, sql
        for sql, advice in _REFUSED.items():
            result = await _ask(client, sql)
            assert result.is_error, sql
            said = result.content[0].text
            assert advice in said, (sql, said)
            assert "org.apache.spark.sql" not in said
            assert " executor " not in said
        described = await client.call_tool("describe_schema", {"table": "variants"})
        assert "v variant: 25 % null" in described.content[0].text
