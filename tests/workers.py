"""How tests are shared out where several workers run them (`pytest -n 3`), which are quick, and which are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

_ON_ALL_ENGINES = (
    *("contract", "cancel", "connect", "databricks", "failures", "fence", "lakes", "left_over", "planted_logs"),
    *("readings", "spark_contract", "spark_logs", "statistics", "tokens", "variants"),
)

TOGETHER: Final[Mapping[str, tuple[str, ...]]] = {
    "engines of all kinds": (
        *(f"tests/engines/test_{name}.py" for name in _ON_ALL_ENGINES),
        "tests/server/test_ai_engines.py",
        "tests/test_questions.py",
    ),
    **{folder: (folder,) for folder in ("tests/dialect", "tests/web", "tests/fuzz", "tests/evals", "tests/clients")},
    "lakes of both engines": tuple(
        f"tests/etl/test_{name}.py" for name in ("load", "layout", "plans", "update", "film_people")
    ),
}
"""Tests that share an engine, a browser or a lake that takes long to make: one worker has them all."""

LONGEST_FIRST: Final = (
    *("engines of all kinds", "lakes of both engines", "tests/evals", "tests/engines", "tests/web", "tests/dialect"),
    *("tests/clients", "tests/test_readme.py", "tests/etl", "tests/server", "tests/bridge"),
)
"""What takes long begins early, so that all workers end at about the same time."""

QUICK: Final = (
    *("tests/guard", "tests/sql", "tests/advice", "tests/dialect", "tests/ai"),
    *("tests/evals/test_compare.py", "tests/evals/test_ordering.py"),
    *("tests/etl/test_packed.py", "tests/server/test_results.py", "tests/server/test_surface.py"),
    *("tests/test_patterns.py", "tests/test_breaker.py", "tests/test_callers.py"),
    *("tests/test_settings.py", "tests/test_portability.py", "tests/clients/test_pins.py"),
    "tests/engines/test_admission.py",
)
SLOW_FIXTURES: Final = frozenset({"java", "spark", "embedded", "browser", "engine", "sample_lake"})
"""`-m quick` is what stands in the places of QUICK and starts none of these: no engine, no browser, no server."""

LONG: Final[tuple[str, ...]] = (
    # Spark loads some rows in a minute. Each run has two loads and one chain of updates by Spark.
    "tests/etl/test_cluster_load.py::test_a_cluster_",
    "tests/etl/test_columns.py::test_a_new_column_is_added_as_text_wherever_it_stands[spark]",
    "tests/etl/test_coverage.py::test_known_holes_are_counted_on_every_engine[spark]",
    "tests/etl/test_line_ends.py::test_a_mark_and_windows_line_ends_are_read_and_said[spark]",
    "tests/etl/test_resume.py::test_spark_goes_on_from_spark_alone",
    "tests/etl/test_enrich.py::test_on_spark_",
    # Each run asks a Connect server the same, which is there anyway.
    "tests/engines/test_variants.py::test_variants_are_answered_as_json_or_refused_with_what_to_write[asyncio-spark]",
    # Each run has the same in storage of the other kind.
    "tests/engines/test_spark_logs.py::test_every_version_is_read_whatever_checkpoints_there_are[azure",
    "tests/engines/test_spark_logs.py::test_filters_drop_no_row_whatever_the_log_tells_of_its_files[azure",
    "tests/etl/test_remote_load.py::test_of_two_first_loads_at_once_one_is_published[container]",
    # Each run has many loads into a folder, and one load, an update and a maintenance of a lake in storage.
    "tests/etl/test_many_loads.py::test_loads_into_storage_take_no_answer_down_and_every_published_version_stays",
    "tests/etl/test_maintain.py::test_lakes_in_storage_are_updated_maintained_and_rolled_back[container]",
    # Each run kills loads and updates at the moments that matter (test_mishaps.py, test_update.py).
    "tests/etl/test_kills.py",
    # Each run has the same lake on the embedded engine, and Spark over others: its forty tables cost Spark 48 s.
    *(
        f"tests/server/test_strangers.py::test_{name}[spark]"
        for name in (
            "tables_of_any_name_are_read",
            "columns_are_written_with_the_name_of_an_odd_table",
            "tables_in_folders_are_read_as_schema_and_table",
            "a_column_that_no_statement_can_name_hides_no_other",
            "the_versions_of_a_table_are_listed_with_time_operation_and_rows",
            "what_cannot_be_read_is_listed_and_refused_with_its_reason",
            "letters_that_only_look_like_a_name_are_no_name",
        )
    ),
    "tests/server/test_remote_strangers.py::test_tools_answer_over_tables_in_storage_that_nobodys_load_has_made[container]",
    # Each run has the same on two other engines.
    "tests/engines/test_left_over.py::test_spark_ends_what_only_data_can_tell",
    "tests/engines/test_cancel.py::test_many_queries_cancelled_at_random_moments_leave_nothing[connect]",
    "tests/engines/test_cancel.py::test_many_queries_cancelled_at_random_moments_leave_nothing[databricks]",
    # Each run has two other clients. These take 110 and 170 MB, and the Inspector a server for every question.
    *(
        f"tests/clients/test_clients.py::test_a_client_lists_asks_is_refused_gets_a_part_and_gives_up[{name}-"
        for name in ("inspector", "openai agents", "langchain")
    ),
)
"""Where tests stand, or how their names begin, that `pytest --all` alone runs: each costs a run more than it tells."""


class ByFile(LoadScopeScheduling):
    """Gives a worker all tests of a file, or of those that stay `TOGETHER`, in the order in which they were collected.

    Not by the mark `xdist_group`: pytest-xdist 3.8 writes it into names of tests, which pytest 9.2 no longer reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def _group(nodeid: str) -> str:
    """The name of the tests that one worker has all of: those that stay `TOGETHER`, or a file's."""
    file = nodeid.partition("::")[0]
    return next((name for name, places in TOGETHER.items() if file.startswith(places)), file)


def mark_quick(items: Iterable[pytest.Item]) -> None:
    """Mark the tests that `-m quick` runs."""
    for item in items:
        if item.nodeid.startswith(QUICK) and SLOW_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.quick)


def mark_long(items: Iterable[pytest.Item]) -> None:
    """Mark the tests that only `--all` runs."""
    for item in items:
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.long)


def rank(item: pytest.Item) -> int:
    """A test's place in the order of LONGEST_FIRST; the same for all tests of a group, so that they share engines."""
    group = _group(item.nodeid)
    return next((at for at, name in enumerate(LONGEST_FIRST) if group.startswith(name)), len(LONGEST_FIRST))
