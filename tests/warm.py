"""Runs `imdb-etl` as a person would, in processes that have done already what is the same each time.

A load of a few rows is mostly imports: each run is forked from a process that has made them. A Spark's first load is
mostly a Java that loads and compiles its classes: those of a worker of pytest-xdist are run one after the other in one
process, whose Java stays. What a run prints, its environment and its exit code are its own either way.
"""

from __future__ import annotations

import functools
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PRELOADED = ["tests.warm", "etl.cli", "etl.pipeline", "etl.update", "etl.sample", "lakehouse.session"]
_DRIVERS = ["pandas", "pyarrow.parquet", "deltalake", "pyspark.sql.connect.session", "tantivy"]
_JAVAS = "SPARK_SUBMIT_OPTS"
"""Holds, as `-Dspark.…=…`, what a run adds to Spark's properties."""

Completed = subprocess.CompletedProcess[str]


def run_forked(arguments: Sequence[str], environment: Mapping[str, str], before: str = "") -> Completed:
    """Run `imdb-etl` in a process of its own that has its imports already. Threads may call it at once.

    `before` is code that is run first.
    """
    with tempfile.TemporaryDirectory() as folder:
        said = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        process = _forks().Process(target=_run_in, args=(arguments, dict(environment), before, *said))
        process.start()
        process.join()
        code = process.exitcode
        process.close()
        assert code is not None
        return subprocess.CompletedProcess(arguments, code, *(Path(path).read_text("utf-8") for path in said))


def run_alone(arguments: Sequence[str], environment: Mapping[str, str]) -> Completed:
    """Run `imdb-etl` in a new Python, with a Java of its own where it needs one."""
    command = [sys.executable, "-W", "ignore", "-m", "etl.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def run_on_spark(arguments: Sequence[str], environment: Mapping[str, str]) -> Completed:
    """Run `imdb-etl` with the Spark of this worker, which other runs have had or will have."""
    return call_on_spark(_run_with_properties, list(arguments), dict(environment))


def call_on_spark(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module where Spark's Java runs: it opens and ends its session itself."""
    return _spark().submit(function, *arguments).result()


def end_spark() -> None:
    """End the process of `call_on_spark` where there is one, and its Java."""
    if _spark.cache_info().currsize:
        _spark().shutdown()
        _spark.cache_clear()


@functools.cache
def _forks() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED, *_DRIVERS])
    return context


@functools.cache
def _spark() -> ProcessPoolExecutor:
    # Not forked from the other one: a thin client that was imported first decides what `pyspark` starts.
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_start_java)


def _start_java() -> None:
    """Start Java in a folder that stays: a load's own is gone with it."""
    from lakehouse.session import open_session

    folder = tempfile.TemporaryDirectory()
    _KEPT.append(folder)  # until this process ends
    with open_session("spark", config={"spark.driver.memory": "4g"}, work_dir=folder.name):
        pass


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def _run_in(arguments: Sequence[str], environment: Mapping[str, str], before: str, stdout: str, stderr: str) -> None:
    for descriptor, path in ((1, stdout), (2, stderr)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    exec(before, {})
    sys.exit(_run(arguments))


def _run_with_properties(arguments: Sequence[str], environment: Mapping[str, str]) -> Completed:
    before, said = dict(os.environ), (io.StringIO(), io.StringIO())
    with _properties(environment), _streams(*said):
        os.environ.clear()
        os.environ.update(environment)
        try:
            code = _run(arguments)
        finally:
            os.environ.clear()
            os.environ.update(before)
    return subprocess.CompletedProcess(arguments, code, *(stream.getvalue() for stream in said))


def _run(arguments: Sequence[str]) -> int:
    from etl.cli import main

    warnings.simplefilter("ignore")
    try:
        return main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


@contextmanager
def _streams(stdout: io.StringIO, stderr: io.StringIO) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = stdout, stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def _properties(environment: Mapping[str, str]) -> Iterator[None]:
    """Set in Java what it would have been started with, and take it back."""
    from pyspark import SparkContext

    system = SparkContext._gateway.jvm.System
    words = [word.removeprefix("-D") for word in environment.get(_JAVAS, "").split() if word.startswith("-Dspark.")]
    names = [word.partition("=")[0] for word in words]
    before = {name: system.getProperty(name) for name in names}
    for word in words:
        system.setProperty(*word.split("=", 1))
    try:
        yield
    finally:
        for name, value in before.items():
            system.clearProperty(name) if value is None else system.setProperty(name, value)
