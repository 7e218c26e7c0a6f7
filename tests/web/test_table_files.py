"""Rows of an answer as Parquet, which the server makes and the page saves."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.web.tab import Tab

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

ROWS = [{"day": date(2020, 2, 29), "n": 1}, {"day": None, "n": 2}]


def save_parquet(tab: Tab, file: Path) -> Path:
    with tab.page.expect_download() as download:
        tab.answer().get_by_role("button", name="Parquet").click()
    assert download.value.suggested_filename == "result.parquet"
    download.value.save_as(file)
    return file


def test_rows_are_saved_as_parquet_of_a_new_answer_and_of_one_that_was_kept(tab: Tab, tmp_path: Path) -> None:
    tab.ask_sql("SELECT * FROM VALUES (DATE'2020-02-29', 1), (NULL, 2) AS t(day, n) ORDER BY n")
    assert pq.read_table(save_parquet(tab, tmp_path / "new.parquet")).to_pylist() == ROWS
    tab.page.reload()
    assert pq.read_table(save_parquet(tab, tmp_path / "kept.parquet")).to_pylist() == ROWS


def test_a_file_that_cannot_be_had_is_said(tab: Tab) -> None:
    tab.foresee("Failed to load resource")
    tab.ask_sql("SELECT 1 AS one")
    tab.context.set_offline(True)
    tab.answer().get_by_role("button", name="Parquet").click()
    expect(tab.page.locator("#notice")).to_have_text("The file was not saved. The server cannot be reached.")
    tab.context.set_offline(False)
