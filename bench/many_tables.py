"""What a lake of many tables costs: its listing, `describe_schema`, and the first statement of each engine.

    python -m bench.many_tables --tables 500 --files 5000 --engine embedded [--storage]

Makes one table of as many files, in commits of fifty with a checkpoint before the last ten, and as many tables that are
links to its files. Where a tool is called, a new server process answers over stdio, whose CPU is not counted. With
`--storage` the lake is copied into object storage, as moto speaks S3's protocol, and the requests are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from mcp import ClientSession, StdioServerParameters, stdio_client

from lakehouse.storage import Lake
from lakehouse.table_search import ObjectSearch
from mcp_server.engines.catalog import LakeCatalog
from tests.object_storage import BUCKET, object_storage
from tests.watched_storage import watched_storage

FILES_OF_A_COMMIT = 50
COMMITS_AFTER = 10
"""Commits behind the newest checkpoint, as Delta writes one for each ten."""


def write_table(folder: Path, files: int) -> None:
    """Write a table of so many files, all with the same ten rows, with the log of a table that grew."""
    data = pa.table({"id": pa.array(range(10), pa.int64()), "name": [f"name {n}" for n in range(10)]})
    write_deltalake(str(folder), data)
    first = json.loads((folder / "_delta_log" / f"{0:020}.json").read_text().splitlines()[-1])
    adds = [line for line in (folder / "_delta_log" / f"{0:020}.json").read_text().splitlines() if '"add"' in line]
    add = json.loads(adds[0])["add"]
    commits = max(files // FILES_OF_A_COMMIT, 1)
    for version in range(1, commits + 1):
        lines = [json.dumps({"commitInfo": first.get("commitInfo", {})})]
        for number in range(FILES_OF_A_COMMIT):
            name = f"part-{version}-{number}.parquet"
            os.link(folder / add["path"], folder / name)
            lines.append(json.dumps({"add": {**add, "path": name}}))
        (folder / "_delta_log" / f"{version:020}.json").write_text("\n".join(lines) + "\n")
        if version == max(commits - COMMITS_AFTER, 1):
            DeltaTable(str(folder)).create_checkpoint()


def write_lake(lake: Path, tables: int, files: int) -> None:
    """Write a lake of so many tables, ten in each schema."""
    first = lake / "schema_0" / "table_0"
    first.parent.mkdir(parents=True)
    write_table(first, files)
    for number in range(1, tables):
        log = lake / f"schema_{number // 10}" / f"table_{number}" / "_delta_log"
        log.mkdir(parents=True)
        for entry in (first / "_delta_log").iterdir():
            if entry.is_file():
                os.link(entry, log / entry.name)
    for number in range(1, min(tables, 3)):
        for entry in first.glob("*.parquet"):
            os.link(entry, lake / f"schema_{number // 10}" / f"table_{number}" / entry.name)


@contextmanager
def print_time(what: str) -> Iterator[None]:
    started, computed = time.perf_counter(), time.process_time()
    yield
    took, own = time.perf_counter() - started, time.process_time() - computed
    print(f"{what:60} {took:8.2f} s, {own:6.2f} s of this process's CPU", flush=True)


def copy_lake(folder: Path, lake: Lake) -> None:
    """Copy the files of a folder below a URL."""
    store = lake.objects
    with ThreadPoolExecutor(8) as threads:
        files = [file for file in folder.rglob("*") if file.is_file()]
        list(threads.map(lambda file: store.write(str(file.relative_to(folder)), file.read_bytes()), files))


def list_tables(lake: Lake, tables: int) -> None:
    """List a lake as a server does: for the first time, and again when that no longer counts."""
    catalog = LakeCatalog(lake)
    with print_time(f"list {tables} tables"):
        catalog.tables()
    if lake.directory is None:
        time.sleep(ObjectSearch.trusted_seconds)
    with print_time("list them again"):
        catalog.tables()


def count_requests(lake: Lake) -> None:
    """Count the requests of a listing, and of a second one."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    with watched_storage(endpoint) as storage:
        os.environ["AWS_ENDPOINT_URL"] = storage.url
        catalog = LakeCatalog(lake)
        for _ in range(2):
            catalog.tables()
            print(f"{len(storage.take())} requests for a listing")
            time.sleep(ObjectSearch.trusted_seconds)
    os.environ["AWS_ENDPOINT_URL"] = endpoint


async def ask_server(lake: str, state: Path, engine: str, table: str) -> None:
    """Ask a new server, as a client does that has just connected."""
    command = [
        "-P", "-m", "mcp_server", "serve", "--lake", lake, "--engine", engine,
    ]  # fmt: skip
    environment = {**os.environ, "IMDB_STATE_DIR": str(state / f"state-{engine}"), "PYTHONPATH": os.getcwd()}
    server = StdioServerParameters(command=sys.executable, args=command, env=environment)
    calls = (
        ("list_views", {}),
        ("describe_schema", {}),
        ("describe_schema", {"table": table}),
        ("find", {"text": "table 3"}),
        ("execute_spark_sql", {"sql_query": f"SELECT count(*) AS n FROM {table}", "reasoning": "bench"}),
        ("execute_spark_sql", {"sql_query": f"SELECT max(id) AS n FROM {table}", "reasoning": "bench"}),
    )
    started = time.perf_counter()
    async with stdio_client(server) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        print(f"{'connected':60} {time.perf_counter() - started:8.2f} s")
        for tool, arguments in calls:
            with print_time(f"{engine}: {tool} {arguments}"):
                result = await session.call_tool(tool, arguments)
            if result.is_error:
                print(result.content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--engine", action="append", choices=("embedded", "spark"))
    parser.add_argument("--lake", type=Path, help="where to keep the lake, to ask it again")
    parser.add_argument("--table", default="schema_0.table_0")
    parser.add_argument("--storage", action="store_true", help="put the lake into object storage")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        lake = asked.lake or Path(folder) / "lake"
        if not lake.exists():
            with print_time("make the lake"):
                write_lake(lake, asked.tables, asked.files)
        address = str(lake)
        if asked.storage:
            address = f"s3://{BUCKET}/many"
            os.environ |= opened.enter_context(object_storage())
            with print_time("copy it"):
                copy_lake(lake, Lake.parse(address))
        list_tables(Lake.parse(address), asked.tables)
        if asked.storage:
            count_requests(Lake.parse(address))
        for engine in asked.engine or ["embedded"]:
            asyncio.run(ask_server(address, lake.parent, engine, asked.table))


if __name__ == "__main__":
    main()
