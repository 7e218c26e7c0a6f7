"""Guards around a load: the lock, the work folder, isolation of the engine, and clear errors."""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from etl.interrupts import raise_if_interrupted
from etl.lease import hold_lease
from etl.settings import LoadEngine, Settings
from etl.slices import lacks_memory
from etl.tables import remove_orphans
from lakehouse import work_folders
from lakehouse.errors import EngineUnavailable, LakeError, LakehouseError, UsageError
from lakehouse.foreign import check_own
from lakehouse.isolation import IsolationError, enter_own_network
from lakehouse.outlet import outlet_of
from lakehouse.session import EngineSession
from lakehouse.storage import Lake, LakeKind

log = logging.getLogger(__name__)

LOCK_NAME = "_load.lock"
WORK_NAME = "_work"
_REMOTE_WORK_PREFIX = "imdb-load-"

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("No space left on device", "Disk quota exceeded")
_CLOSED_WORDS = ("Permission denied", "Read-only file system")


@contextlib.contextmanager
def translate_errors(lake: Lake, settings: Settings) -> Iterator[None]:
    """Convert storage and memory errors of any library to LakeError with one clear sentence."""
    full = f"The disk of {lake} is full. Make room and load again; what was served before is unchanged."
    try:
        yield
    except LakehouseError as error:
        if getattr(error.__cause__, "errno", None) in _FULL:
            raise LakeError(full) from error
        raise
    except Exception as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        text = str(error)
        if getattr(error, "errno", None) in _FULL or any(words in text for words in _FULL_WORDS):
            raise LakeError(full) from error
        if lacks_memory(error):
            raise LakeError(
                f"A step of the load needs more memory than IMDB_LOAD_MEMORY_MB={settings.load_memory_mb} allows, even "
                "with what goes to disk. Set it higher and load again; what was served before is unchanged."
            ) from error
        if isinstance(error, OSError) or any(words in text for words in _CLOSED_WORDS):
            denied = "permission denied" if any(words in text for words in _CLOSED_WORDS) else text.split("\n", 1)[0]
            reason = error.strerror if isinstance(error, OSError) and error.strerror else denied
            raise LakeError(f"{lake} cannot be written: {reason}. Choose another --lake.") from error
        raise


def check_loadable(lake: Lake, engine: LoadEngine) -> None:
    """Raise UsageError or LakeError if the lake cannot be loaded, before anything is written."""
    if lake.kind is LakeKind.CATALOG:
        raise UsageError(f"--lake {lake}: a load writes to a directory or a storage URL, not to a catalogue.")
    check_engine(lake, engine)
    check_own(lake)


def check_engine(lake: Lake, engine: LoadEngine) -> None:
    """Raise UsageError if a local engine cannot reach a lake."""
    if lake.kind is LakeKind.URL and engine == "spark":
        raise UsageError(
            f"--lake {lake}: a Spark session of this machine has no client for object storage. Use --engine embedded."
        )


def check_shared(session: EngineSession, work_dir: Path, files: Iterable[Path]) -> None:
    """Check that a Spark of others reads what this machine writes. Others do in any case.

    Raises UsageError if it does not read a file in `work_dir`, or one of the source files, and EngineUnavailable if it
    does not answer.
    """
    if not session.capabilities.shared:
        return
    word = secrets.token_hex()
    proof = work_dir / "shared"
    proof.write_text(word, encoding="ascii")
    for path in (proof, *files):
        first = _read_first_line(session, path)
        if first is None or (path == proof and first != word):
            raise UsageError(
                f"The Spark that loads does not read {path.parent} of this machine. Give --source and --lake folders "
                "that all its machines have under the same paths, and IMDB_STATE_DIR too where the lake is a URL."
            )


def _read_first_line(session: EngineSession, path: Path) -> str | None:
    from pyspark.errors import AnalysisException, PySparkException

    try:
        rows = session.spark.read.text(str(path)).limit(1).collect()
    except AnalysisException:
        return None
    except PySparkException as error:
        if "FILE_NOT_EXIST" in str(error) or "FileNotFoundException" in str(error):
            return None
        log.debug("%s was not read", path, exc_info=error)
        raise EngineUnavailable(
            f"The Spark that loads cannot be reached, or fails to read {path}. Check SPARK_REMOTE and its workers; "
            "IMDB_LOG_LEVEL=DEBUG shows its words."
        ) from error
    return str(rows[0][0]) if rows else ""


def isolate_engine(lake: Lake, settings: Settings, urls: Iterable[str] = ()) -> None:
    """Isolate the engine from other users of this machine: it has no password and runs with its user's rights.

    The process can then reach only the lake's store and the hosts of `urls`. Call this before the first thread starts.
    Raises UsageError if isolation is required and not available.
    """
    if settings.engine_isolation == "off" or settings.load_engine != "embedded" or lake.kind is LakeKind.CATALOG:
        return
    try:
        enter_own_network(outlet_of(lake, urls))
    except IsolationError as error:
        reach = f"The engine shares the machine's network: {error}. Other users of this machine could reach it"
        if settings.engine_isolation == "required" or lake.kind is LakeKind.URL:
            raise UsageError(
                f"{reach}. Allow user namespaces, or set IMDB_ENGINE_ISOLATION=off where the machine has no others."
            ) from error
        log.warning("%s until this program ends; IMDB_ENGINE_ISOLATION=off silences this.", reach)


@contextlib.contextmanager
def hold_load_lock(lake: Lake) -> Iterator[Callable[[], None]]:
    """Hold the lock that allows one load at a time. Yields a check of whether the load may go on.

    It raises LakeError once the lock is lost, and KeyboardInterrupt once the command was interrupted. A local lock is
    released by the operating system when the process ends.
    """
    if lake.directory is not None:
        with _lock_file(lake, lake.directory / LOCK_NAME):
            yield raise_if_interrupted
    else:
        with hold_lease(lake) as lease:

            def check_held() -> None:
                raise_if_interrupted()
                lease.check_held()

            yield check_held


@contextlib.contextmanager
def _lock_file(lake: Lake, path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise LakeError(f"Another load into {lake} is running. Wait for it to end, then try again.") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def open_work_folder(lake: Lake, settings: Settings, tables: Iterable[str]) -> Iterator[Path]:
    """Create an empty work folder for this run, after removing the leftovers of a killed run."""
    if lake.directory is None:  # loads into several remote lakes share the state folder
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with work_folders.work_folder(settings.state, _REMOTE_WORK_PREFIX) as (folder, _):
            yield folder
        return
    folder = lake.directory / WORK_NAME
    lake.remove_drafts()
    for table in tables:
        remove_orphans(lake.directory / table)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def was_interrupted(error: BaseException) -> bool:
    """Return whether an error was caused by KeyboardInterrupt, which drivers wrap."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
