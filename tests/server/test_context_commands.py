"""`imdb-mcp context init` and `check`, as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

import prompts
from lakehouse.context import MOST_PAGE_BYTES
from tests.etl.conftest import run_etl

Run = Callable[..., "subprocess.CompletedProcess[str]"]
WHY = "back-quotes are for names; write values as '…'"


@pytest.fixture
def context(tmp_path: Path) -> Run:
    """Runs `imdb-mcp context …`."""

    def run(*arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
        more = {name: str(value) for name, value in variables.items()}
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "mcp_server", "context", *map(str, arguments)],
            env={**os.environ, "IMDB_STATE_DIR": str(tmp_path / "state"), **more},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def sample_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small lake that the load has made, with IMDb's context beside it."""
    folder = tmp_path_factory.mktemp("sample")
    made = run_etl("sample", "--out", folder / "files", "--titles", 1000, "--seed", 5)
    assert made.returncode == 0, made.stderr
    done = run_etl("load", "--source", folder / "files", "--lake", folder / "lake")
    assert done.returncode == 0, done.stderr
    return folder / "lake"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that nobody's load has made: without comments, keys or a manifest, and with names that need quotes."""
    lake = tmp_path_factory.mktemp("shop")
    customers = {
        "customer_id": pa.array(range(1, 101), pa.int64()),
        "full name": [f"Customer {i}" for i in range(1, 101)],
        "founded_year": pa.array([1900 + i for i in range(100)], pa.int32()),
        "tier": ["gold" if i % 4 else "basic" for i in range(100)],
    }
    orders = {
        "id": pa.array(range(500), pa.int64()),
        "customer_id": pa.array([i % 120 for i in range(500)], pa.int64()),
        "order": ["web" if i % 2 else "shop" for i in range(500)],
        "coupon": [None if i % 3 else f"C{i}" for i in range(500)],
        "lines": [[str(i)] for i in range(500)],
    }
    items = {"order_id": pa.array([i % 500 for i in range(900)], pa.int64()), "price": [1.5] * 900}
    for name, columns in (("customers", customers), ("orders", orders), ("items", items)):
        write_deltalake(str(lake / name), pa.table(columns))
    return lake


def test_every_verified_query_of_imdb_runs_on_a_loaded_lake(context: Run, sample_lake: Path) -> None:
    done = context("check", "--lake", sample_lake)
    assert (done.returncode, done.stdout.splitlines()[:-1]) == (0, [])
    queries = len(prompts.read_lake_context()["queries.jsonl"].splitlines())
    assert f"{queries} of {queries} verified queries ran" in done.stdout
    assert done.stdout.endswith("No fault.\n")
    assert f"[{queries}/{queries}] " in done.stderr


def test_each_fault_is_a_line(context: Run, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "context.md").write_text(
        "`orders` of `customers`, `orders.coupon` and `a + b`; find with `find`.\n`order` is `web`; `orders.cupon`.\n"
    )
    queries = [
        {"id": "good", "question": "?", "sql": "SELECT count(*) FROM orders"},
        {"id": "none", "question": "?", "sql": "SELECT 1 FROM orders WHERE id < 0"},
        {"id": "bad", "question": "?", "sql": "SELECT nothing FROM orders"},
        {"id": "evil", "question": "?", "sql": "DROP TABLE orders"},
        {"id": "later", "question": "?", "sql": "SELECT 1", "follows": "earlier"},
    ]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    (tmp_path / "lake.toml").write_text(
        'not_missing = ["orders.coupon", "order.coupon"]\nyears = ["orders.year"]\n'
        '[[entity]]\nkind = "customer"\ntable = "customers"\ncolumn = "name"\nid = "customer_id"\n'
        'sql = "SELECT customer_id AS id FROM customers"\n'
        '[[join]]\nfrom = "orders.customer_id"\nto = "customers.id"\n'
        '[[coverage]]\ntable = "orders"\ncolumns = ["coupon"]\nabout = "coupons"\nof = "orders"\n'
        'beside = "items.year"\n'
        'sql = "SELECT NULL AS part, count(*) AS rows, count(coupon) AS known FROM orders"\n'
        'one = "SELECT count(*) AS rows FROM orders WHERE id = :key"\n'
    )
    done = context("check", "--lake", shop, IMDB_CONTEXT_DIR=tmp_path)
    assert done.returncode == 1, done.stderr
    *faults, last = done.stdout.splitlines()
    begins = [
        "context.md, line 2: the lake has no table or column 'web'",
        "context.md, line 2: orders has no column 'cupon'; did you mean coupon?",
        "lake.toml, entity customer: customers has no column 'name'",
        "lake.toml, entity customer: its sql gives no column label.",
        "lake.toml, join orders.customer_id = customers.id: customers has no column 'id'",
        "lake.toml, coverage of orders (coupons): items has no column 'year'",
        "lake.toml, coverage of orders (coupons): its sql gives no column known.",
        "lake.toml, not_missing: the lake has no table or view 'order'; did you mean orders?",
        "lake.toml, years: orders has no column 'year'",
        "queries.jsonl, bad: ",
        "queries.jsonl, evil: ",
        "queries.jsonl, later: it follows 'earlier', which is no id of the file.",
    ]
    assert len(faults) == len(begins)
    assert [fault[: len(begin)] for fault, begin in zip(faults, begins, strict=True)] == begins
    assert all(WHY in fault for fault in faults[:2])
    assert "3 of 5 verified queries ran, and found nothing: none. 12 faults." in last
    audited = [json.loads(line) for line in (tmp_path / "state" / "audit.jsonl").read_text().splitlines()]
    assert {line["tool"] for line in audited} == {"context check"}
    assert "DROP TABLE orders" in [line["sql_sent"] for line in audited if line["verdict"] != "ok"]


def test_a_damaged_file_does_not_hide_what_the_others_lack(context: Run, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "context.md").write_text("x" * (MOST_PAGE_BYTES + 1))
    (tmp_path / "queries.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "lake.toml").write_text("[[join]]\nfrom = 1")
    done = context("check", "--lake", shop, IMDB_CONTEXT_DIR=tmp_path)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines()[:3]] == ["context.md", "queries.jsonl", "lake.toml"]
    assert "3 faults." in done.stdout


def test_without_any_context_it_says_how_to_begin(context: Run, shop: Path, tmp_path: Path) -> None:
    for arguments in ({}, {"IMDB_CONTEXT_DIR": tmp_path}):
        done = context("check", "--lake", shop, **arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert "`imdb-mcp context init` drafts them" in done.stderr
    gone = context("check", "--lake", shop, IMDB_CONTEXT_DIR=tmp_path / "gone")
    assert (gone.returncode, "does not exist" in gone.stderr) == (1, True)


def test_the_draft_of_a_strangers_lake_is_right_but_for_its_review(context: Run, shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "drafts"
    done = context("init", "--lake", shop, "--out", out)
    assert done.returncode == 0, done.stderr
    page = (out / "context.md").read_text()
    assert page.startswith("DRAFT")
    assert len(page.encode()) <= MOST_PAGE_BYTES
    assert "- `customers`: (what is a row of it?); key `customer_id` (a guess); `tier` is gold | basic" in page
    assert "often null: `coupon` 67 %" in page
    assert "- `orders.customer_id` = `customers.customer_id`" in page
    assert "- `items.order_id` = `orders.id`" in page
    declared = tomllib.loads((out / "lake.toml").read_text())
    (entity,) = declared["entity"]
    assert entity["kind"] == "customer"
    assert entity["column"] == "full name"
    queries = [json.loads(line) for line in (out / "queries.jsonl").read_text().splitlines()]
    assert {"orders-by-order", "orders-of-customers-by-customer_id"} <= {query["id"] for query in queries}

    checked = context("check", "--lake", shop, IMDB_CONTEXT_DIR=out)
    assert checked.returncode == 1
    first, second, last = checked.stdout.splitlines()
    assert first.startswith("context.md: it is a draft that nobody has reviewed")
    assert second.startswith("queries.jsonl: drafts that nobody has reviewed")
    assert last.endswith("2 faults.")


def test_a_draft_replaces_nothing_without_force(context: Run, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "lake.toml").write_text("# ours")
    refused = context("init", "--lake", shop, "--out", tmp_path)
    assert refused.returncode == 2
    assert "has lake.toml already, and nothing was written" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["lake.toml"]
    assert context("init", "--lake", shop, "--out", tmp_path, "--force").returncode == 0
    assert (tmp_path / "lake.toml").read_text().startswith("# DRAFT")


def test_a_draft_lies_in_the_lake_itself_where_nothing_else_is_said(context: Run, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_deltalake(str(lake / "things"), pa.table({"thing_id": [1, 2], "name": ["a", "b"]}))
    assert context("init", "--lake", lake).returncode == 0
    assert sorted(path.name for path in (lake / "_context").iterdir()) == ["context.md", "lake.toml", "queries.jsonl"]


def test_a_lake_that_is_no_folder_needs_a_place_for_the_draft(context: Run) -> None:
    done = context("init", "--lake", "main.shop", "--engine", "databricks")
    assert done.returncode == 2
    assert "Give --out DIR, and set IMDB_CONTEXT_DIR to it" in done.stderr


def test_a_lake_without_tables_has_nothing_to_draft(context: Run, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    done = context("init", "--lake", tmp_path / "lake")
    assert done.returncode == 1
    assert not (tmp_path / "lake" / "_context").exists()
