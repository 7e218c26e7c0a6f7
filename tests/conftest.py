"""What all tests share: what the machine lacks is said once, by name and count, in the last lines."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import spark_start, workers

if TYPE_CHECKING:
    from tests.connect_server import ConnectServer

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
JAVA = 17


ASKED: pytest.StashKey[set[str]] = pytest.StashKey()
"""Statements that Spark itself was asked, though tests compare with what it has answered before."""

LEFT_OUT: pytest.StashKey[int] = pytest.StashKey()
"""How many tests were left out because they take long."""


_spark_as_users = False


def skip_without_java() -> None:
    """Skips the test where there is no Java 17 or newer; else Spark can be started from now on."""
    if not _prepare_spark():
        pytest.skip(f"needs Java {JAVA}+")


def spark_is_as_users_have_it() -> bool:
    """Whether this run spares Spark nothing (`--spark=live`)."""
    return _spark_as_users


@functools.cache
def _prepare_spark() -> bool:
    """False where there is no Java 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    binary = shutil.which(os.path.join(home, "bin", "java") if home else "java")
    said = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False).stderr if binary else ""
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA:
        return False
    spark_start.prepare(said, as_users=_spark_as_users)
    return True


@pytest.fixture(scope="session")
def java() -> None:
    """Skips the test where there is no Java 17 or newer."""
    skip_without_java()


@pytest.fixture(scope="session")
def connect_server(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectServer]:
    """A Spark Connect server for all tests: its `url`, and what `running()` in it. Who kills it, restarts it."""
    from tests.connect_server import ConnectServer

    server = ConnectServer(tmp_path_factory.mktemp("connect"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def _object_storage() -> Iterator[dict[str, str]]:
    from tests.object_storage import object_storage

    with object_storage() as variables:
        yield variables


def _set_variables(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(_object_storage: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The URL of a folder of the test's own in object storage, which this process and its children are set up for."""
    _set_variables(monkeypatch, _object_storage)
    return f"s3://lakes/{abs(hash(request.node.nodeid))}"


@pytest.fixture(scope="session")
def _signed_storage() -> Iterator[dict[str, str]]:
    if shutil.which("versitygw") is None:
        pytest.skip("needs versitygw (go install github.com/versity/versitygw/cmd/versitygw@latest)")
    from tests.object_storage import signed_storage

    with signed_storage() as variables:
        yield variables


@pytest.fixture
def signed_bucket(
    _signed_storage: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """The same in storage that checks signatures."""
    _set_variables(monkeypatch, _signed_storage)
    return f"s3://lakes/{abs(hash(request.node.nodeid))}"


@pytest.fixture(scope="session")
def _azure_storage() -> Iterator[dict[str, str]]:
    if shutil.which("azurite-blob") is None:
        pytest.skip("needs Azurite (npm install azurite)")
    from tests.object_storage import azure_storage

    with azure_storage() as variables:
        yield variables


@pytest.fixture
def container(_azure_storage: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The same in Azure's storage."""
    _set_variables(monkeypatch, _azure_storage)
    return f"abfss://lakes@devstoreaccount1.dfs.core.windows.net/{abs(hash(request.node.nodeid))}"


@pytest.fixture(scope="session")
def real_rows() -> Path:
    """The folder of real IMDb rows. They are never part of the project: the test is skipped where it is absent."""
    folder = SHARED / "data" / "imdb-real"
    if not folder.is_dir():
        pytest.skip("needs the folder of real IMDb rows")
    return folder


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads this machine's settings or writes into its user's state folder."""
    for name in list(os.environ):
        if name.startswith("IMDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("IMDB_STATE_DIR", str(tmp_path_factory.getbasetemp() / "state"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--spark",
        choices=["recorded", "live", "record"],
        default="recorded",
        help="where tests compare with Spark: with its recorded answers, with Spark itself, or with Spark itself whose "
        "answers are then recorded; the last two configure Spark as users have it",
    )
    parser.addoption(
        "--all", action="store_true", help="run the tests marked `long` as well (tests/workers.py lists them)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """No test, and no process that one starts, spends money at a provider that this machine's environment names."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of a thousand processes compiles all that it imports
    sys.dont_write_bytecode = False
    global _spark_as_users  # noqa: PLW0603  (known before the first test, and asked by what has no fixture)
    _spark_as_users = config.getoption("spark") != "recorded"
    config.stash[ASKED] = set()
    config.stash[LEFT_OUT] = 0
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_OPENAI_")):
            del os.environ[name]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the process that shows the results."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["asked"] = sorted(session.config.stash[ASKED])
        session.config.workeroutput["left out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    workers.mark_quick(items)  # before pytest chooses by marks
    workers.mark_long(items)
    yield
    if not config.getoption("all"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.stash[LEFT_OUT] = len(left_out)
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=workers.rank)  # after it has ordered them by their fixtures


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> workers.ByFile:
    config.option.loadscopereorder = False
    return workers.ByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told = getattr(node, "workeroutput", {})
    node.config.stash[ASKED].update(told.get("asked", ()))
    node.config.stash[LEFT_OUT] = told.get("left out", 0)  # each worker collects all tests


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name and count what was skipped, and why, and say what Spark was asked for want of a recorded answer."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason.removeprefix('Skipped: ')}")
    if left_out := terminalreporter.config.stash[LEFT_OUT]:
        terminalreporter.write_line(f"left out {left_out}: they take long (pytest --all)")
    if asked := terminalreporter.config.stash[ASKED]:
        terminalreporter.write_line(f"Spark was asked {len(asked)} statements (python -m tests.expected record)")
