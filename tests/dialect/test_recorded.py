"""What is recorded of Spark's answers is what Spark says: a fixed share of it in every run, all with --spark=live."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.errors import QueryError, QueryFailed
from tests import expected
from tests.dialect.conftest import Asker
from tests.expected import Answer, Mode, Record

EVERY = 40

ONE = Answer((("a", "double"),), ((float("nan"), None, b"\x00", [{"b": (1, 2.0)}]),))


@pytest.mark.usefixtures("java")
def test_what_is_recorded_is_what_spark_answers(recorded: Record, spark: Asker) -> None:
    for sql, answer in recorded.sample(EVERY):
        if isinstance(answer, QueryError):
            with pytest.raises(type(answer)):
                spark.live(sql)
        else:
            found = spark.live(sql)
            assert (found.columns, found.sorted) == (answer.columns, answer.sorted), sql


def fails() -> Answer:
    raise QueryFailed("overflow")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(expected, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_an_answer_is_recorded_with_its_types_and_an_error_as_an_error() -> None:
    record = Record("some", "lake", Mode.RECORD)
    record.answer("SELECT 1", lambda: ONE)
    with pytest.raises(QueryFailed):
        record.answer("SELECT 2", fails)
    record.write()

    again = Record("some", "lake", Mode.RECORDED)
    assert repr(again.answer("SELECT 1", fails)) == repr(ONE)
    with pytest.raises(QueryFailed, match="overflow"):
        again.answer("SELECT 2", lambda: ONE)
    assert again.asked == set()


@pytest.mark.usefixtures("folder")
def test_a_record_of_another_lake_or_spark_counts_for_nothing() -> None:
    record = Record("some", "lake", Mode.RECORD)
    record.answer("SELECT 1", lambda: ONE)
    record.write()

    other = Record("some", "another lake", Mode.RECORDED)
    with pytest.raises(QueryFailed):
        other.answer("SELECT 1", fails)
    assert other.asked == {"SELECT 1"}


@pytest.mark.usefixtures("folder")
def test_what_is_answered_otherwise_each_time_is_not_recorded() -> None:
    record = Record("some", "lake", Mode.RECORD)
    answers = iter([ONE, Answer(ONE.columns, ())])
    record.answer("SELECT rand()", lambda: next(answers))
    record.answer("SELECT current_date()", lambda: ONE)
    record.write()

    assert list(Record("some", "lake", Mode.RECORDED).sample(1)) == []
